"""The one door to the Hub, over the real client and the real wire."""

import errno
import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from hubbot.checkpoints import FileInfo, Repo
from hubbot.devhub.routes import search
from hubbot.errors import Gated, HubRefused, HubUnavailable, OutOfRoom, RateLimited, RepoMissing, TokenRejected
from tests.hub.embedded import (
    LFS_WARNING,
    ORG,
    OWNER,
    STRANGER,
    Site,
    calm,
    fresh,
    impatient,
    running,
    upload_over_lfs,
    write,
)

pytestmark = pytest.mark.filterwarnings(LFS_WARNING)
BASE = datetime(2026, 5, 1, 12, tzinfo=UTC)
FILES = {
    "config.json": b'{"model_type": "qwen3_moe"}',
    "model.safetensors": b"weights" * 3000,
    "sub/notes.txt": b"a note",
    "README.md": b"---\nlicense: apache-2.0\n---\n# A model\n",
}


def infos(client_files: tuple[FileInfo, ...], *names: str) -> list[FileInfo]:
    return [file for file in client_files if not names or file.path in names]


def quiet(done: int, total: int, what: str) -> None:
    pass


@pytest.fixture
def repo(site: Site, tmp_path: Path) -> str:
    return site.seed(FILES, tmp_path / "seed")


def own(site: Site, tmp_path: Path, files: dict[str, bytes] | None = None) -> tuple[str, Path]:
    """A private repo of our own, and the folder that was uploaded to it."""
    repo_id, folder = fresh(ORG), write(files or FILES, tmp_path / "mine")
    client = site.client()
    client.create_private(repo_id)
    client.commit(repo_id, folder, list(files or FILES), message="first", parent=client.head(repo_id))
    return repo_id, folder


# Who am I


def test_whoami_names_the_account_its_organisations_and_its_role(site: Site) -> None:
    account = site.client().whoami()
    assert (account.name, account.orgs, account.role) == ("keeper", (ORG,), "write")
    assert site.client().endpoint == site.url


def test_a_wrong_token_is_rejected_and_not_repeated_in_the_message(site: Site) -> None:
    with pytest.raises(TokenRejected) as caught:
        site.client("hf_WrongWrongWrong").whoami()
    assert "hf_WrongWrongWrong" not in str(caught.value.to_json())


def test_without_a_token_that_is_said_before_anything_is_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.faults.clear()
    with pytest.raises(TokenRejected, match="there is no token"):
        site.client(None).require_token()
    assert site.faults.count() == 0
    site.client(OWNER).require_token()
    monkeypatch.setenv("HF_TOKEN", OWNER)
    site.client(None).require_token()


# Listing


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A Hub with five repos of one author, an hour apart, two to a page."""
    calm(monkeypatch, tmp_path)
    monkeypatch.setattr(search, "_PAGE", 2)
    folder = write({"config.json": FILES["config.json"], "README.md": FILES["README.md"]}, tmp_path / "model")
    with running(tmp_path / "hub") as site:
        for number in range(5):
            site.embedded.seed(f"fables/model-{number}", folder, created_at=BASE + timedelta(hours=number))
        yield site


def listed(site: Site, until: datetime | None = None, **wanted: Any) -> list[str]:
    query = {"author": None, "search": None, "tags": ()} | wanted
    return [found.id for found in site.client().listing(until=until, **query)]


def test_a_listing_goes_through_all_pages_newest_first(shelf: Site) -> None:
    assert listed(shelf) == [f"fables/model-{number}" for number in (4, 3, 2, 1, 0)]
    assert shelf.faults.count("GET", "/api/models") == 3


def test_a_listing_stops_at_the_watermark_and_asks_for_no_page_beyond_it(shelf: Site) -> None:
    assert listed(shelf, BASE + timedelta(hours=3)) == ["fables/model-4", "fables/model-3"]
    assert shelf.faults.count("GET", "/api/models") == 2
    assert listed(shelf, BASE + timedelta(hours=3, seconds=1)) == ["fables/model-4"]


def test_a_listing_is_narrowed_by_author_words_and_tags(shelf: Site) -> None:
    assert listed(shelf, author="nobody") == []
    assert listed(shelf, author="fables", search="model-2") == ["fables/model-2"]
    assert listed(shelf, tags=("license:mit",)) == []
    assert len(listed(shelf, tags=("license:apache-2.0",))) == 5


def test_a_listed_repo_says_what_a_rule_needs(shelf: Site) -> None:
    found = next(shelf.client().listing(author="fables", search=None, tags=(), until=None))
    assert found.last_modified == BASE + timedelta(hours=4)
    assert (found.licences, found.model_type) == (("apache-2.0",), "qwen3_moe")
    assert len(found.revision) == 40
    assert found.nbytes is not None


def test_a_listing_survives_a_page_that_is_refused_once(shelf: Site) -> None:
    shelf.faults.fail("GET", "/api/models")
    assert len(listed(shelf)) == 5


def test_a_listing_that_never_comes_is_an_unavailable_hub(shelf: Site) -> None:
    shelf.faults.fail("GET", "/api/models", times=99)
    with pytest.raises(HubUnavailable):
        listed(shelf)
    shelf.faults.clear()
    # It waits within the listing, but no longer than a window of the quota may last.
    shelf.faults.limit_rate("GET", "/api/models", times=100_000, wait=30)
    with pytest.raises(RateLimited) as caught:
        listed(shelf)
    assert caught.value.after_seconds == 31.0
    asked = shelf.faults.count("GET", "/api/models")
    shelf.faults.clear()
    shelf.faults.limit_rate("GET", "/api/models", times=asked - 1, wait=30)
    assert listed(shelf)


# Fetching


def test_fetch_brings_files_with_their_folders_and_tells_how_far_it_is(
    site: Site, repo: str, tmp_path: Path
) -> None:
    files = site.client().open(repo, None)
    told: list[tuple[int, int, str]] = []
    site.client().fetch(files.repo, files.files, tmp_path / "to", lambda *fields: told.append(fields))
    for name, content in FILES.items():
        assert (tmp_path / "to" / name).read_bytes() == content
    total = sum(len(content) for content in FILES.values())
    assert told[-1][:2] == (total, total)
    assert {name for _, _, name in told} == set(FILES)


def test_finished_files_are_not_sent_again(site: Site, repo: str, tmp_path: Path) -> None:
    files = site.client().open(repo, None)
    site.faults.clear()
    site.client().fetch(files.repo, infos(files.files, "model.safetensors"), tmp_path / "to", quiet)
    assert site.faults.count("GET", "/xet/blocks/") == 1
    site.faults.clear()
    site.client().fetch(files.repo, files.files, tmp_path / "to", quiet)
    assert site.faults.bytes_sent("GET", "/resolve/.*/model.safetensors|/xet/") == 0
    assert site.faults.bytes_sent("GET", "/resolve/.*/config.json") == len(FILES["config.json"])


def test_a_file_whose_sha256_is_not_the_promised_one_is_refused_and_removed(
    site: Site, repo: str, tmp_path: Path
) -> None:
    files = site.client().open(repo, None)
    wrong = [FileInfo(path="model.safetensors", size=len(FILES["model.safetensors"]), sha256="0" * 64)]
    with pytest.raises(HubRefused, match="2 downloads had another sha256"):
        site.client().fetch(files.repo, wrong, tmp_path / "to", quiet)
    assert not (tmp_path / "to" / "model.safetensors").exists()


def test_a_file_of_another_size_is_refused_and_removed(site: Site, repo: str, tmp_path: Path) -> None:
    files = site.client().open(repo, None)
    with pytest.raises(HubUnavailable, match=r"27 bytes"):
        site.client().fetch(files.repo, [FileInfo(path="config.json", size=28)], tmp_path / "to", quiet)
    assert not (tmp_path / "to" / "config.json").exists()


def test_a_torn_file_on_disk_is_fetched_anew(site: Site, repo: str, tmp_path: Path) -> None:
    files = site.client().open(repo, None)
    site.client().fetch(files.repo, files.files, tmp_path / "to", quiet)
    (tmp_path / "to" / "model.safetensors").write_bytes(b"torn")
    site.client().fetch(files.repo, files.files, tmp_path / "to", quiet)
    assert (tmp_path / "to" / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_file_changed_on_disk_in_its_size_is_found_out(site: Site, repo: str, tmp_path: Path) -> None:
    files = site.client().open(repo, None)
    site.client().fetch(files.repo, files.files, tmp_path / "to", quiet)
    damaged = bytearray(FILES["model.safetensors"])
    damaged[5] ^= 1
    (tmp_path / "to" / "model.safetensors").write_bytes(damaged)
    site.client().fetch(files.repo, files.files, tmp_path / "to", quiet)
    assert (tmp_path / "to" / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_download_that_breaks_off_is_taken_up_again(site: Site, repo: str, tmp_path: Path) -> None:
    files = site.client().open(repo, None)
    site.faults.cut("GET", "/xet/blocks/", after=5000, times=3)
    site.faults.fail("HEAD", "/resolve/.*/config.json", times=2)
    site.client().fetch(files.repo, files.files, tmp_path / "to", quiet)
    assert (tmp_path / "to" / "model.safetensors").read_bytes() == FILES["model.safetensors"]


@pytest.mark.parametrize("path", ["/xet-read-token/", "/v2/reconstructions/", "/xet/blocks/"])
def test_a_hub_whose_storage_is_gone_is_unavailable(site: Site, repo: str, tmp_path: Path, path: str) -> None:
    files = site.client().open(repo, None)
    site.faults.fail("GET", path, times=999)
    with pytest.raises(HubUnavailable):
        site.client().fetch(files.repo, files.files, tmp_path / "to", quiet)


def test_a_file_that_left_the_hub_is_missing_and_a_gate_is_a_gate(site: Site, repo: str, tmp_path: Path) -> None:
    files = site.client().open(repo, None)
    with pytest.raises(RepoMissing):
        site.client().fetch(files.repo, [FileInfo(path="absent", size=1)], tmp_path / "to", quiet)
    closed = site.seed(FILES, tmp_path / "closed", gated=True)
    sha = site.client(STRANGER).open(closed, None).repo
    with pytest.raises(Gated):
        site.client(STRANGER).fetch(sha, [FileInfo(path="config.json", size=1)], tmp_path / "to", quiet)


def test_a_hub_that_is_gone_in_the_middle_of_a_fetch_is_unavailable(site: Site, repo: str, tmp_path: Path) -> None:
    files = site.client().open(repo, None)
    site.faults.fail("*", "/resolve/", times=999)
    with pytest.raises(HubUnavailable):
        site.client().fetch(files.repo, files.files, tmp_path / "to", quiet)


def test_a_full_disk_during_a_fetch_is_out_of_room(
    site: Site, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    files = site.client().open(repo, None)
    monkeypatch.setattr("hubbot.hub.client.hf_hub_download", full)
    with pytest.raises(OutOfRoom, match="the disk is full"):
        site.client().fetch(files.repo, files.files, tmp_path / "to", quiet)


# Reading what is there


def test_a_tree_has_sizes_and_hashes_and_is_none_without_a_repo(site: Site, repo: str) -> None:
    tree = site.tree(repo)
    assert {path: file.size for path, file in tree.items()} == {path: len(data) for path, data in FILES.items()}
    assert tree["model.safetensors"].sha256 == hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    assert site.client().state("fables/nothing-here") is None


def test_a_small_file_is_read_up_to_the_limit_and_is_none_where_absent(site: Site, repo: str) -> None:
    client = site.client()
    assert client.read_file(repo, "config.json", 1000) == FILES["config.json"]
    assert client.read_file(repo, "config.json", 5) == FILES["config.json"][:5]
    assert client.read_file(repo, "absent.json", 5) is None


# Writing


def test_creating_twice_keeps_the_repo_and_its_privacy(site: Site) -> None:
    client, repo_id = site.client(), fresh(ORG)
    assert client.create_private(repo_id)
    assert not client.create_private(repo_id)
    assert site.is_private(repo_id)
    client.set_private(repo_id, private=False)
    assert not site.is_private(repo_id)
    assert not client.create_private(repo_id)
    assert not site.is_private(repo_id)
    client.set_private(repo_id, private=True)
    assert site.is_private(repo_id)


def test_an_organisation_of_others_is_closed(site: Site) -> None:
    with pytest.raises(TokenRejected, match="may not do this"):
        site.client(STRANGER).create_private(fresh(ORG))


def test_what_is_uploaded_is_what_differs_no_more(site: Site, tmp_path: Path) -> None:
    repo_id, folder = own(site, tmp_path)
    assert site.differing(repo_id, folder) == []
    (folder / "config.json").write_bytes(b"{}")
    (folder / "new.txt").write_bytes(b"new")
    (folder / "README.md").unlink()
    (folder / ".hidden").write_bytes(b"this machine's")
    assert site.differing(repo_id, folder) == ["README.md", "config.json", "new.txt"]


def test_a_large_file_that_differs_in_one_bit_is_found(site: Site, tmp_path: Path) -> None:
    repo_id, folder = own(site, tmp_path)
    damaged = bytearray(FILES["model.safetensors"])
    damaged[100] ^= 1
    (folder / "model.safetensors").write_bytes(damaged)
    assert site.differing(repo_id, folder) == ["model.safetensors"]


def test_only_the_named_files_are_uploaded(site: Site, tmp_path: Path) -> None:
    repo_id, folder = own(site, tmp_path, {"config.json": b"{}"})
    write({"secret.txt": b"no", "more.json": b"[1]"}, folder)
    site.client().commit(repo_id, folder, ["more.json"], message="2", parent=site.client().head(repo_id))
    tree = site.tree(repo_id)
    assert set(tree) == {".gitattributes", "config.json", "more.json"}


def test_files_are_sent_and_deleted_in_one_commit(site: Site, tmp_path: Path) -> None:
    repo_id, folder = own(site, tmp_path)
    before = len(site.api().list_repo_commits(repo_id))
    site.client().commit(
        repo_id, folder, ["model.safetensors"], deleted=["config.json", "sub/notes.txt"], message="gone",
        parent=site.client().head(repo_id),
    )  # fmt: skip
    assert len(site.api().list_repo_commits(repo_id)) == before + 1
    tree = site.tree(repo_id)
    assert set(tree) == {".gitattributes", "README.md", "model.safetensors"}


def test_a_tag_is_put_once_on_its_commit_and_moves(site: Site, tmp_path: Path) -> None:
    repo_id, folder = own(site, tmp_path)
    client = site.client()
    first = client.head(repo_id)
    client.tag(repo_id, "source-abc", "converted", first)
    site.faults.clear()
    client.tag(repo_id, "source-abc", "converted", first)
    assert site.faults.count("POST") + site.faults.count("DELETE") == 0
    write({"new.txt": b"new"}, folder)
    second = client.commit(repo_id, folder, ["new.txt"], message="second", parent=first)
    client.tag(repo_id, "source-of-before", "converted", first)
    assert _tags(site.api(), repo_id) == {"source-abc": first, "source-of-before": first}
    client.tag(repo_id, "source-abc", "converted", second)
    assert _tags(site.api(), repo_id) == {"source-abc": second, "source-of-before": first}


def _tags(api: HfApi, repo_id: str) -> dict[str, str]:
    return {tag.name: tag.target_commit for tag in api.list_repo_refs(repo_id).tags}


def test_a_collection_is_made_once_and_holds_a_repo_once(site: Site, tmp_path: Path) -> None:
    (one, _), (other, _) = own(site, tmp_path / "a"), own(site, tmp_path / "b")
    client = site.client()
    for repo_id in (one, one, other, one):
        client.collect("Conversions", ORG, repo_id)
    found = [item for item in site.api().list_collections(owner=ORG) if item.title == "Conversions"]
    assert len(found) == 1
    items = [item.item_id for item in site.api().get_collection(found[0].slug).items]
    assert sorted(items) == sorted([one, other])


_COMMON = [
    ("POST", "/api/repos/create"),
    ("POST", "/preupload/"),
    ("POST", "/commit/"),
    ("GET", "/tree/"),
]
_OVER_LFS = [("POST", "/info/lfs/objects/batch"), ("PUT", "/lfs/")]
_OVER_XET = [("GET", "/xet-write-token/"), ("GET", "/v1/chunks/"), ("POST", "/v1/xorbs/"), ("POST", "/v2/shards")]


def assert_an_upload_gets_over(site: Site, tmp_path: Path, fault: tuple[str, str], how: str) -> None:
    """Upload while one request fails once; the Hub has the folder, and its one commit, all the same."""
    unique = {**FILES, "model.safetensors": fresh("x").encode() * 2000}
    site.faults.clear()
    if how == "refused":
        site.faults.fail(*fault)
    else:
        site.faults.cut(*fault, after=0)
    repo_id, folder = own(site, tmp_path, unique)
    assert site.differing(repo_id, folder) == []
    titles = [commit.title for commit in site.api().list_repo_commits(repo_id)]
    assert titles.count("first") == 1
    assert site.faults.count(*fault) > 0


@pytest.mark.parametrize("fault", _COMMON + _OVER_XET)
@pytest.mark.parametrize("how", ["refused", "cut"])
def test_every_request_of_an_upload_may_fail_once(
    site: Site, tmp_path: Path, fault: tuple[str, str], how: str
) -> None:
    assert_an_upload_gets_over(site, tmp_path, fault, how)


@pytest.mark.parametrize("fault", _COMMON + _OVER_LFS)
@pytest.mark.parametrize("how", ["refused", "cut"])
def test_every_request_of_an_upload_over_lfs_may_fail_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: tuple[str, str], how: str
) -> None:
    upload_over_lfs(monkeypatch)
    assert_an_upload_gets_over(site, tmp_path, fault, how)


def test_an_upload_waits_as_long_as_the_hub_asks(site: Site, tmp_path: Path) -> None:
    repo_id, folder = own(site, tmp_path)
    sleeps: list[float] = []
    site.faults.limit_rate("GET", f"/api/models/{repo_id}$", wait=12)
    assert site.client(patience=impatient(sleeps)).head(repo_id)
    assert sleeps == [13.0]
    assert folder.is_dir()


def test_a_missing_repo_is_missing_for_every_call(site: Site, tmp_path: Path) -> None:
    client, absent = site.client(), f"{ORG}/absent"
    folder = write({"a.txt": b"a"}, tmp_path / "x")
    calls = (
        lambda: client.open(absent, None),
        lambda: client.head(absent),
        lambda: client.set_private(absent, private=True),
        lambda: client.commit(absent, folder, ["a.txt"], message="no", parent="a" * 40),
        lambda: client.tag(absent, "t", "no", "c" * 40),
        lambda: client.fetch(Repo(id=absent, revision="a" * 40), [FileInfo(path="a", size=1)], folder, quiet),
    )
    for call in calls:
        with pytest.raises(RepoMissing):
            call()
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["NOTICE [bold]x[", "a*", "what?.txt", "[ab].txt", "[!x]"])
def test_a_file_name_is_a_name_and_never_a_pattern(site: Site, tmp_path: Path, name: str) -> None:
    repo_id, folder = own(site, tmp_path)
    (folder / name).write_bytes(b"text")
    (folder / "ab.txt").write_bytes(b"not to be sent")
    site.client().commit(repo_id, folder, [name], message="one file", parent=site.client().head(repo_id))
    tree = site.tree(repo_id)
    assert name in tree
    assert "ab.txt" not in tree


@pytest.mark.parametrize("times", [1, 2])
def test_a_small_file_that_arrives_damaged_is_fetched_again_and_never_taken(
    site: Site, tmp_path: Path, times: int
) -> None:
    repo_id = site.seed(FILES, tmp_path / "home")
    client = site.client()
    files = client.open(repo_id, None)
    small = infos(files.files, "config.json")
    assert small[0].blob_id
    site.faults.spoil("GET", r"/resolve/.*config\.json", times=times)
    if times == 1:
        client.fetch(files.repo, small, tmp_path / "here", lambda *_: None)
        assert (tmp_path / "here" / "config.json").read_bytes() == FILES["config.json"]
        return
    with pytest.raises(HubRefused, match="another content than promised"):
        client.fetch(files.repo, small, tmp_path / "here", lambda *_: None)
    assert not (tmp_path / "here" / "config.json").exists()


def test_a_small_file_that_is_read_damaged_is_read_again(site: Site, tmp_path: Path) -> None:
    repo_id = site.seed(FILES, tmp_path / "home")
    files = site.client().open(repo_id, None)
    site.faults.spoil("GET", r"/resolve/.*config\.json", times=2)
    assert files.read("config.json", 0, len(FILES["config.json"])) == FILES["config.json"]
