"""Publishing: nothing unapproved, nobody else's repo, nothing public before every byte is right, and only once."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hubbot.artifacts import Approved, Artifact, Finding, Publication, Report, Status
from hubbot.checkpoints import Checkpoint, FileInfo, Repo
from hubbot.devhub.faults import Faults
from hubbot.devhub.stored_objects import Address
from hubbot.errors import (
    HubRefused,
    HubUnavailable,
    NeedsHuman,
    NotOurs,
    StructureMismatch,
    TokenRejected,
    TryLater,
)
from hubbot.hub.client import Hub
from hubbot.steps.publish import publish, renew_card, target_id
from tests.hub.embedded import (
    LFS_WARNING,
    NEVER,
    ORG,
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
SOURCE = Repo(id="fables/Fox", revision="0123456789abcdef0123456789abcdef01234567")
COLLECTION = "Conversions"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("hub")) as site:
        yield site


@pytest.fixture
def site(hub: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    calm(monkeypatch, tmp_path)
    yield hub
    hub.faults.clear()


def mark(source: Repo, variant: str, files: dict[str, bytes]) -> bytes:
    return json.dumps(
        {
            "made_by": "hubbot",
            "format": 1,
            "variant": variant,
            "source": {"repo": source.id, "revision": source.revision},
            "files": [
                {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for path, data in files.items()
            ],
        }
    ).encode()


def artifact_files(weights: bytes, source: Repo = SOURCE, variant: str = "4bit") -> dict[str, bytes]:
    files = {
        "config.json": b'{"model_type": "qwen3_moe"}',
        "model.safetensors": weights * 500,
        "model.safetensors.index.json": b"{}",
    }
    return {
        **files,
        "README.md": f"---\nlicense: apache-2.0\n---\n# {variant}\n".encode(),
        "report.json": b'{"verdict": "approved", "card_facts": "1"}',
        "hubbot.json": mark(source, variant, files),
    }


def finding(gate: str, status: Status) -> Finding:
    return Finding(gate=gate, check="c", subject="s", measured=0, allowed=0, status=status, reason="r")


def judged(folder: Path, source: Repo = SOURCE, variant: str = "4bit", values: Status = "pass") -> Report:
    digests = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    artifact = Artifact(
        source=source, variant=variant, path=str(folder), files=(), nbytes=1000, bits_per_weight=4.5
    )
    passed = (finding("structure", "pass"), finding("tracer", "pass"))
    return Report(artifact=artifact, findings=(*passed, finding("values", values)), digests=digests)


def checkpoint(source: Repo = SOURCE, *, gated: bool = False, private: bool = False) -> Checkpoint:
    return Checkpoint(
        repo=source, config={}, card={}, files=(FileInfo(path="config.json", size=2),), tensors={},
        gated=gated, private=private, requests=0, bytes_read=0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One artifact on its way to one repo."""

    site: Site
    folder: Path
    repo_id: str
    source: Repo = SOURCE
    # What the job would remember of this repo.
    begun: list[str] = field(default_factory=list)

    def publish(
        self, *, gated: bool = False, private: bool = False, attempts: int = 4, hub: Hub | None = None
    ) -> Publication:
        return publish(
            judged(self.folder, self.source).approve(),
            checkpoint(self.source, gated=gated, private=private),
            hub=hub or self.site.client(patience=impatient(attempts=attempts)),
            repo_id=self.repo_id,
            collection=COLLECTION,
            begun=bool(self.begun),
            on_begin=lambda: self.begun.append("begun"),
        )

    def exists(self) -> bool:
        return bool(self.site.api().repo_exists(self.repo_id))

    def commits(self) -> list[str]:
        return [commit.title for commit in self.site.api().list_repo_commits(self.repo_id)]

    def end_state(self) -> dict[str, Any]:
        """Everything that somebody who downloads the repo can see of it."""
        api = self.site.api()
        tree = self.site.tree(self.repo_id)
        head = api.model_info(self.repo_id)
        collections = list(api.list_collections(owner=ORG, item=f"models/{self.repo_id}"))
        return {
            "files": {path: file.size for path, file in tree.items()},
            "differing": self.site.differing(self.repo_id, self.folder),
            "private": head.private,
            "tags": {tag.name: tag.target_commit == head.sha for tag in api.list_repo_refs(self.repo_id).tags},
            "collections": [item.title for item in collections],
        }


@pytest.fixture
def make(site: Site, tmp_path: Path) -> Callable[..., Case]:
    def make_case(repo_id: str | None = None, source: Repo = SOURCE) -> Case:
        target = repo_id or fresh(ORG)
        # Weights of their own: what the Hub holds already is never sent twice.
        folder = write(artifact_files(target.encode(), source), tmp_path / target)
        return Case(site=site, folder=folder, repo_id=target, source=source)

    return make_case


@pytest.fixture
def case(make: Callable[..., Case]) -> Case:
    return make()


COMPLETE = {
    "differing": [],
    "private": False,
    "tags": {"source-0123456789ab": True},
    "collections": [COLLECTION],
}


# Where to


def test_publishing_needs_an_organisation() -> None:
    with pytest.raises(NeedsHuman, match="no org is set") as caught:
        target_id(None, "{name}-MLX-{variant}", "fables/Fox", "4bit")
    assert caught.value.exit_code == 4
    assert "HUBBOT_ORG" in (caught.value.hint or "")


def test_the_target_is_named_after_source_and_variant() -> None:
    assert target_id("mlx-moe", "{name}-MLX-{variant}", "fables/Fox", "4bit") == "mlx-moe/Fox-MLX-4bit"
    assert target_id("mlx-moe", "{variant}.{name}", "fables/Fox", "4bit") == "mlx-moe/4bit.Fox"


# What may leave


def test_a_publication_is_complete_public_tagged_and_collected(case: Case) -> None:
    published = case.publish()
    state = case.end_state()
    assert {key: state[key] for key in COMPLETE} == COMPLETE
    assert set(state["files"]) == {*artifact_files(b""), ".gitattributes"}
    assert published == Publication(
        source=SOURCE,
        variant="4bit",
        repo_id=case.repo_id,
        revision=case.site.client().head(case.repo_id),
        private=False,
        url=f"{case.site.url}/{case.repo_id}",
    )


def test_only_an_approved_report_can_be_published(case: Case) -> None:
    for values in ("fail", "not-run", "not-applicable"):
        report = judged(case.folder, values=values)
        with pytest.raises(Exception, match=r"values|c: r"):
            report.approve()
        with pytest.raises(StructureMismatch, match="refused report"):
            Approved(report=report)
    assert not case.exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "model.safetensors.index.json"])
def test_a_file_changed_after_its_verification_is_refused(case: Case, name: str) -> None:
    approved = judged(case.folder).approve()
    (case.folder / name).write_bytes((case.folder / name).read_bytes() + b" ")
    with pytest.raises(StructureMismatch, match=f"{name}.*not the file that was judged"):
        publish(approved, checkpoint(), hub=case.site.client(), repo_id=case.repo_id, collection=None)
    assert not case.exists()


def test_a_file_added_or_lost_after_the_verification_is_refused(case: Case) -> None:
    approved = judged(case.folder).approve()
    (case.folder / "modeling.py").write_bytes(b"import os")
    with pytest.raises(StructureMismatch, match=r"modeling\.py"):
        publish(approved, checkpoint(), hub=case.site.client(), repo_id=case.repo_id, collection=None)
    (case.folder / "modeling.py").unlink()
    (case.folder / "config.json").unlink()
    with pytest.raises(StructureMismatch, match=r"config\.json"):
        publish(approved, checkpoint(), hub=case.site.client(), repo_id=case.repo_id, collection=None)
    assert not case.exists()


@pytest.mark.parametrize("name", ["hubbot.json", "README.md", "report.json"])
def test_nothing_leaves_without_its_mark_card_and_report(case: Case, name: str) -> None:
    (case.folder / name).unlink()
    with pytest.raises(StructureMismatch, match=f"{name} is missing"):
        case.publish()
    assert not case.exists()


# Whose repo it is


def test_a_repo_without_hubbots_mark_is_left_alone(make: Callable[..., Case], tmp_path: Path) -> None:
    case = make()
    theirs = write({"README.md": b"---\nlicense: mit\n---\n# By hand\n", "w.txt": b"1"}, tmp_path / "theirs")
    case.site.embedded.seed(case.repo_id, theirs)
    case.site.faults.clear()
    with pytest.raises(NotOurs, match=r"carries no hubbot\.json") as caught:
        case.publish()
    assert caught.value.exit_code == 4
    assert {one.method for one in case.site.faults.exchanges()} <= {"GET", "HEAD"}
    assert set(case.site.tree(case.repo_id)) == {"README.md", "w.txt"}


@pytest.mark.parametrize("forged", [b"{}", b"not json", b'{"made_by": "me"}', b"[]", b""])
def test_a_mark_that_is_not_hubbots_protects_the_repo(
    make: Callable[..., Case], tmp_path: Path, forged: bytes
) -> None:
    case = make()
    case.site.embedded.seed(case.repo_id, write({"hubbot.json": forged, "a": b"1"}, tmp_path / "theirs"))
    with pytest.raises(NotOurs):
        case.publish()


def test_two_sources_of_one_name_do_not_overwrite_each_other(make: Callable[..., Case]) -> None:
    first = make()
    first.publish()
    before = first.commits()
    other = make(first.repo_id, Repo(id="others/Fox", revision="f" * 40))
    with pytest.raises(NotOurs, match="made from fables/Fox") as caught:
        other.publish()
    assert "others/Fox" in caught.value.message
    assert first.commits() == before


def test_another_variant_of_the_same_source_is_another_repos(make: Callable[..., Case]) -> None:
    case = make()
    case.publish()
    (case.folder / "hubbot.json").write_bytes(mark(SOURCE, "8bit", {}))
    approved = judged(case.folder, variant="8bit").approve()
    with pytest.raises(NotOurs, match="variant 4bit"):
        publish(approved, checkpoint(), hub=case.site.client(), repo_id=case.repo_id, collection=None)


def test_a_token_that_may_not_write_there_waits_for_a_person(case: Case) -> None:
    approved = judged(case.folder).approve()
    client = case.site.client(STRANGER)
    with pytest.raises(TokenRejected):
        publish(approved, checkpoint(), hub=client, repo_id=case.repo_id, collection=None)
    assert not case.exists()


QUOTA = "You have exceeded your private repository storage limit of 100 GB"
REFUSING = {
    "xet": ("/repos/create", "/preupload/", "/xet-write-token/", "/commit/", "/settings"),
    "lfs": ("/repos/create", "/preupload/", "/info/lfs/objects/batch", "/commit/", "/settings"),
}


@pytest.mark.parametrize("status", [400, 401, 403, 413, 422])
@pytest.mark.parametrize(("mode", "path"), [(mode, path) for mode in REFUSING for path in REFUSING[mode]])
def test_every_refusal_says_what_the_server_said(
    case: Case, monkeypatch: pytest.MonkeyPatch, mode: str, path: str, status: int
) -> None:
    if mode == "lfs":
        upload_over_lfs(monkeypatch)
    case.site.faults.fail("*", path, status=status, times=99, body={"error": QUOTA})
    with pytest.raises(NeedsHuman) as caught:
        case.publish()
    assert QUOTA in caught.value.message
    assert "Request ID" not in caught.value.message


def test_a_repo_that_others_change_while_it_is_published_is_told_in_the_hubs_words(case: Case) -> None:
    case.site.faults.fail("*", "/commit/", status=412, times=99, body={"error": "A commit has happened since"})
    with pytest.raises(HubUnavailable, match="changed by somebody else meanwhile: A commit has happened since"):
        case.publish(attempts=1)


# How often


def test_publishing_again_changes_nothing(case: Case) -> None:
    first = case.publish()
    commits = case.commits()
    case.site.faults.clear()
    assert case.publish() == first
    assert case.commits() == commits
    assert case.site.faults.count("*", r"/preupload/|/commit/|/lfs/|/xet|/tag/|/settings") == 0


def test_a_new_revision_replaces_the_files_removes_stale_ones_and_moves_on(
    make: Callable[..., Case], tmp_path: Path
) -> None:
    case = make()
    more = {"extra.jinja": b"a template", "model-00002-of-00002.safetensors": b"second shard"}
    files = {**artifact_files(case.repo_id.encode()), **more}
    write({**more, "hubbot.json": mark(SOURCE, "4bit", files)}, case.folder)
    case.publish()
    newer = replace(SOURCE, revision="f" * 40)
    folder = write(artifact_files(b"newer weights", newer), tmp_path / "newer")
    again = replace(case, folder=folder, source=newer)
    again.publish()
    state = again.end_state()
    assert state["differing"] == []
    assert not state["private"]
    assert set(state["files"]) == {*artifact_files(b""), ".gitattributes"}
    assert state["tags"] == {"source-0123456789ab": False, f"source-{'f' * 12}": True}


def test_what_people_added_stays_and_is_no_reason_to_commit(case: Case, tmp_path: Path) -> None:
    case.publish()
    case.site.api().upload_file(path_or_fileobj=b"my notes", path_in_repo="notes/mine.md", repo_id=case.repo_id)
    commits = case.commits()
    case.publish()
    assert case.commits() == commits
    newer = replace(SOURCE, revision="f" * 40)
    again = replace(case, folder=write(artifact_files(b"newer", newer), tmp_path / "newer"), source=newer)
    again.publish()
    assert again.site.tree(case.repo_id)["notes/mine.md"].size == len(b"my notes")
    assert again.end_state()["differing"] == ["notes/mine.md"]


def test_a_file_of_somebody_elses_is_not_replaced_by_a_new_one_of_that_name(case: Case, tmp_path: Path) -> None:
    case.publish()
    api = case.site.api()
    api.upload_file(path_or_fileobj=b"theirs", path_in_repo="chat_template.jinja", repo_id=case.repo_id)
    newer = replace(SOURCE, revision="f" * 40)
    files = {**artifact_files(b"newer", newer), "chat_template.jinja": b"the source's"}
    again = replace(case, folder=write(files, tmp_path / "newer"), source=newer)
    with pytest.raises(NotOurs, match=r"'chat_template\.jinja' of the repo is not hubbot's"):
        again.publish()
    assert not case.site.is_private(case.repo_id)


@pytest.mark.parametrize(("drawn", "stays"), [([], True), (["plots/variants.png"], False), (None, False)])
def test_a_picture_that_somebody_added_stays_whatever_its_name(
    case: Case, tmp_path: Path, drawn: list[str] | None, *, stays: bool
) -> None:
    listed = {} if drawn is None else {"pictures": drawn}

    def report(facts: str) -> dict[str, bytes]:
        return {"report.json": json.dumps({"card_facts": facts, **listed}).encode()}

    write(report("1"), case.folder)
    case.publish()
    mine = case.site.api().upload_file
    mine(path_or_fileobj=b"mine", path_in_repo="plots/variants.png", repo_id=case.repo_id)
    newer = replace(SOURCE, revision="f" * 40)
    drawing = {**artifact_files(b"newer", newer), "plots/variants.png": b"drawn", **report("2")}
    without = {**artifact_files(b"newer", newer), **report("3")}
    for files, otherwise in ((drawing, b"drawn"), (without, None)):
        folder = write(files, tmp_path / str(otherwise))
        replace(case, folder=folder, source=newer).publish()
        there = case.site.client().read_file(case.repo_id, "plots/variants.png", 99)
        assert there == (b"mine" if stays else otherwise)


def test_an_empty_repo_that_hubbot_did_not_make_is_left_alone(case: Case) -> None:
    case.site.api().create_repo(case.repo_id)
    with pytest.raises(NotOurs, match="is empty; hubbot did not make it"):
        case.publish()
    assert set(case.site.tree(case.repo_id)) == {".gitattributes"}


# What is news


@pytest.mark.parametrize(
    ("files", "committed"),
    [
        ({"README.md": b"12 tokens/s", "report.json": b'{"speed": 12, "card_facts": "1"}'}, set()),
        ({"hubbot.json": b""}, set()),
        ({"README.md": b"new", "report.json": b'{"card_facts": "2"}'}, {"README.md", "report.json"}),
    ],
)
def test_only_what_says_something_new_is_committed(
    case: Case, files: dict[str, bytes], committed: set[str]
) -> None:
    case.publish()
    commits, before = len(case.commits()), case.site.tree(case.repo_id)
    if "hubbot.json" in files:
        told = json.loads((case.folder / "hubbot.json").read_bytes())
        files = {"hubbot.json": json.dumps({**told, "versions": {"hubbot": "9.9"}}).encode()}
    write(files, case.folder)
    published = case.publish()
    after = case.site.tree(case.repo_id)
    assert {path for path in after if not after[path].is_same(before.get(path))} == committed
    assert len(case.commits()) == commits + bool(committed)
    assert published.revision == case.site.client().head(case.repo_id)


def test_a_card_is_renewed_alone_and_only_where_it_says_something_new(case: Case, tmp_path: Path) -> None:
    case.publish()
    weights = case.site.tree(case.repo_id)["model.safetensors"]
    hub = case.site.client()
    said = write({"README.md": b"# 12 tokens/s", "report.json": b'{"card_facts": "1"}'}, tmp_path / "same")
    commits = case.commits()
    renew_card(hub, case.repo_id, said, source=SOURCE, variant="4bit")
    assert case.commits() == commits
    said = write({"README.md": b"# more variants", "report.json": b'{"card_facts": "2"}'}, tmp_path / "news")
    state = renew_card(hub, case.repo_id, said, source=SOURCE, variant="4bit")
    assert len(case.commits()) == len(commits) + 1
    assert state.files["model.safetensors"] == weights
    assert state.files["README.md"].size == len(b"# more variants")
    with pytest.raises(NotOurs, match="variant 4bit"):
        renew_card(hub, case.repo_id, said, source=SOURCE, variant="8bit")


def test_a_source_that_moved_to_another_owner_keeps_its_repos(make: Callable[..., Case], tmp_path: Path) -> None:
    first = make()
    source = Repo(id=first.site.seed({"config.json": b"{}"}, tmp_path / "seed"), revision=SOURCE.revision)
    case = make(source=source)
    case.publish()
    moved = fresh(ORG)
    hub = first.site.embedded._hub
    old, new = (Address("models", *name.split("/")) for name in (source.id, moved))
    with hub.lock:
        found = hub.repos.find(old)
        assert found is not None
        hub.repos.move(found, new)
    again = replace(case, source=replace(source, id=moved))
    write({"hubbot.json": mark(again.source, "4bit", {})}, case.folder)
    assert again.publish().repo_id == case.repo_id


# Courtesies


@pytest.mark.parametrize("status", [400, 403, 404, 422, 429, 500, 501])
def test_a_refused_tag_and_collection_are_noted_and_hold_nothing_back(case: Case, status: int) -> None:
    case.site.faults.fail("POST", f"/{case.repo_id}/tag/", status=status, times=99)
    case.site.faults.fail("*", "/api/collections", status=status, times=99)
    published = case.publish()
    assert set(published.owed) == {"tag", "collection"}
    assert not published.private
    case.site.faults.clear()
    state = case.end_state()
    assert (state["private"], state["differing"], state["tags"]) == (False, [], {})
    assert case.publish().owed == {}
    assert {key: case.end_state()[key] for key in COMPLETE} == COMPLETE


# What may be seen


def test_what_came_from_behind_a_gate_or_a_door_stays_private(make: Callable[..., Case]) -> None:
    for gated, private in ((True, False), (False, True)):
        case = make()
        assert case.publish(gated=gated, private=private).private
        state = case.end_state()
        assert state["private"]
        assert state["collections"] == []
        assert not case.site.faults.exchanges("PUT", f"/{case.repo_id}/settings")


def test_a_source_that_was_closed_later_closes_what_is_published(case: Case) -> None:
    case.publish()
    assert case.publish(gated=True).private
    assert case.end_state()["private"]


def test_the_repo_becomes_public_only_after_everything_was_compared(case: Case) -> None:
    case.site.faults.clear()
    case.publish()
    done = [(one.method, one.path) for one in case.site.faults.exchanges("*", case.repo_id)]
    opened = done.index(("PUT", f"/api/models/{case.repo_id}/settings"))
    assert [path for method, path in done[opened:] if method == "POST" and "/commit/" in path] == []
    assert "/tree/" in " ".join(path for _, path in done[:opened])
    assert sum(1 for method, path in done[:opened] if method == "POST" and "/commit/" in path) == 1


@pytest.mark.parametrize("path", ["/v1/xorbs/", "/commit/", "/preupload/"])
def test_a_public_repo_is_never_hidden_while_it_is_replaced(
    make: Callable[..., Case], tmp_path: Path, path: str
) -> None:
    case = make()
    case.publish()
    before, commits = case.site.tree(case.repo_id), len(case.commits())
    newer = replace(SOURCE, revision="f" * 40)
    again = replace(case, folder=write(artifact_files(path.encode(), newer), tmp_path / "newer"), source=newer)
    case.site.faults.fail("POST", path, times=999)
    with pytest.raises(HubUnavailable):
        again.publish()
    case.site.faults.clear()
    assert not case.site.is_private(case.repo_id)
    assert case.site.tree(case.repo_id) == before
    case.site.faults.clear()
    again.publish()
    assert len(case.commits()) == commits + 1
    assert case.site.faults.count("PUT", "/settings") == 0


@dataclass(frozen=True, slots=True)
class Wrong:
    """A Hub that stores other weights than it is sent."""

    hub: Hub
    folder: Path

    def __getattr__(self, name: str) -> Any:
        return getattr(self.hub, name)

    def commit(self, *given: Any, **named: Any) -> str:
        weights = (self.folder / "model.safetensors").read_bytes()
        (self.folder / "model.safetensors").write_bytes(weights[::-1])
        try:
            return self.hub.commit(*given, **named)
        finally:
            (self.folder / "model.safetensors").write_bytes(weights)


@pytest.mark.usefixtures("_over")
def test_a_replacement_that_comes_out_wrong_is_undone_and_waits_for_a_person(
    make: Callable[..., Case], tmp_path: Path
) -> None:
    case = make()
    case.publish()
    before = case.site.tree(case.repo_id)
    newer = replace(SOURCE, revision="f" * 40)
    files = {**artifact_files(b"newer weights", newer), "chat_template.jinja": b"new"}
    again = replace(case, folder=write(files, tmp_path / "newer"), source=newer)
    hub: Any = Wrong(case.site.client(), again.folder)
    with pytest.raises(HubRefused, match=r"not what they should be: model\.safetensors"):
        again.publish(hub=hub)
    assert case.site.tree(case.repo_id) == before
    assert not case.site.is_private(case.repo_id)
    again.publish()
    assert again.end_state()["differing"] == []


def test_a_first_upload_that_comes_out_wrong_stays_private_and_marked(case: Case) -> None:
    hub: Any = Wrong(case.site.client(), case.folder)
    with pytest.raises(HubUnavailable, match="1 files on the Hub are not what they should be"):
        case.publish(hub=hub)
    state = case.end_state()
    assert (state["private"], state["tags"], state["collections"]) == (True, {}, [])
    assert "hubbot.json" in state["files"]
    case.publish()
    assert {key: case.end_state()[key] for key in COMPLETE} == COMPLETE


# Killed anywhere


def _requests_of_one_publication(make: Callable[..., Case]) -> int:
    case = make()
    case.site.faults.clear()
    case.publish()
    return case.site.faults.count()


def _interrupt(case: Case, index: int, manner: str) -> None:
    """Let `index` requests pass and nothing after them; or one more, whose answer is lost."""
    faults = case.site.faults
    faults.clear()
    if index:
        faults.cut("*", "", after=NEVER, times=index)
    if manner == "its answer is lost":
        faults.cut("*", "", after=0)
    faults.fail("*", "", status=500, times=NEVER)
    # Refused courtesies raise nothing; they are noted.
    with suppress(TryLater):
        assert case.publish(attempts=1).owed
    faults.clear()


def _check_nothing_half_published(case: Case, index: int) -> None:
    if not case.exists():
        return
    tree = case.site.tree(case.repo_id)
    if not case.site.is_private(case.repo_id):
        assert case.site.differing(case.repo_id, case.folder) == [], f"public and torn at {index}"
    assert set(tree) <= {".gitattributes"} or "hubbot.json" in tree, f"not recognisable at {index}"


@pytest.fixture(params=["xet", "lfs"])
def _over(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Case]) -> None:
    """Send the weights in each of the two ways that the client has."""
    if request.param == "lfs":
        upload_over_lfs(monkeypatch)


@pytest.mark.usefixtures("_over")
@pytest.mark.parametrize("manner", ["it is refused", "its answer is lost"])
def test_killed_at_any_request_it_is_never_half_public_and_the_next_run_completes_it(
    make: Callable[..., Case], manner: str
) -> None:
    total = _requests_of_one_publication(make)
    assert total > 12
    for index in range(total):
        case = make()
        _interrupt(case, index, manner)
        _check_nothing_half_published(case, index)
        case.publish()
        state = case.end_state()
        assert {key: state[key] for key in COMPLETE} == COMPLETE, f"after a kill at request {index}"
        assert len(case.commits()) == 2, f"commits after a kill at request {index}: {case.commits()}"
        shutil.rmtree(case.folder)


def _update(make: Callable[..., Case], folder: Path) -> tuple[Case, Case]:
    """A published case, and the same with other weights, a file more and a newer commit."""
    case = make()
    case.publish()
    newer = replace(SOURCE, revision="f" * 40)
    files = {**artifact_files(f"newer {case.repo_id}".encode(), newer), "extra.jinja": b"a template"}
    return case, replace(case, folder=write(files, folder / "newer" / case.repo_id), source=newer)


@pytest.mark.usefixtures("_over")
@pytest.mark.parametrize("manner", ["it is refused", "its answer is lost"])
def test_an_update_killed_at_any_request_is_seen_as_the_old_or_the_new_one_and_never_hidden(
    make: Callable[..., Case], tmp_path: Path, manner: str
) -> None:
    _, counted = _update(make, tmp_path)
    counted.site.faults.clear()
    counted.publish()
    total = counted.site.faults.count()
    assert total > 10
    for index in range(total):
        old, new = _update(make, tmp_path)
        commits = len(old.commits())
        _interrupt(new, index, manner)
        assert not old.site.is_private(old.repo_id), f"hidden at {index}"
        seen = [case for case in (old, new) if old.site.differing(old.repo_id, case.folder) == []]
        assert len(seen) == 1, f"neither the old nor the new one at {index}"
        new.publish()
        state = new.end_state()
        assert (state["differing"], state["private"]) == ([], False), f"after a kill at request {index}"
        assert state["tags"] == {"source-0123456789ab": False, f"source-{'f' * 12}": True}
        assert len(new.commits()) == commits + 1, f"commits after a kill at request {index}: {new.commits()}"
        shutil.rmtree(new.folder)


def _first(make: Callable[..., Case], folder: Path) -> Case:
    return make()


def _second(make: Callable[..., Case], folder: Path) -> Case:
    return _update(make, folder)[1]


SINGLE_FAULTS: dict[str, Callable[[Faults], None]] = {
    "500": lambda faults: faults.fail("*", "", status=500),
    "429": lambda faults: faults.limit_rate("*", "", wait=1),
    "reset": lambda faults: faults.reset("*", ""),
    "answer lost": lambda faults: faults.cut("*", "", after=0),
}


@pytest.mark.usefixtures("_over")
@pytest.mark.parametrize("fault", [*SINGLE_FAULTS])
@pytest.mark.parametrize("prepare", [_first, _second])
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_one_failure_at_any_request_is_overcome_within_the_run(
    make: Callable[..., Case], tmp_path: Path, prepare: Callable[..., Case], fault: str, every: int
) -> None:
    undisturbed = prepare(make, tmp_path)
    undisturbed.site.faults.clear()
    undisturbed.publish()
    total = undisturbed.site.faults.count()
    assert total > 10
    whole, commits = undisturbed.end_state(), undisturbed.commits()
    # The short form shares the requests among the faults: each request fails in one of the four ways.
    for index in range([*SINGLE_FAULTS].index(fault) % every, total, every):
        case, faults = prepare(make, tmp_path), undisturbed.site.faults
        faults.clear()
        if index:
            faults.cut("*", "", after=NEVER, times=index)
        SINGLE_FAULTS[fault](faults)
        published = case.publish()
        faults.clear()
        told = f"after one failure of request {index}"
        assert published.owed == {}, told
        state = case.end_state()
        for key in ("differing", "private", "tags", "collections"):
            assert state[key] == whole[key], f"{key} {told}"
        assert set(state["files"]) == set(whole["files"]), told
        assert case.commits() == commits, told
        shutil.rmtree(case.folder)


@pytest.mark.parametrize("path", ["/xet-write-token/", "/v1/xorbs/", "/v2/shards$"])
def test_a_network_that_breaks_under_the_weights_is_unavailable(case: Case, path: str) -> None:
    case.site.faults.fail("*", path, times=999)
    with pytest.raises(HubUnavailable):
        case.publish()


def test_weights_that_the_hub_took_and_lost_are_sent_again(case: Case) -> None:
    case.site.faults.fail("POST", "/v1/xorbs/", status=200, body={"was_inserted": True})
    case.publish()
    assert {key: case.end_state()[key] for key in COMPLETE} == COMPLETE


def test_a_network_that_breaks_under_the_weights_over_lfs_is_unavailable(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_over_lfs(monkeypatch)
    case.site.faults.fail("*", "^/lfs/", times=999)
    with pytest.raises(HubUnavailable):
        case.publish()


def test_weights_whose_arrival_is_never_confirmed_are_published_once_they_are_there(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload_over_lfs(monkeypatch)
    case.site.faults.fail("*", "/info/lfs/objects/verify", times=999)
    case.publish()
    case.site.faults.clear()
    assert {key: case.end_state()[key] for key in COMPLETE} == COMPLETE


def test_a_rate_limit_without_a_body_is_a_pause(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.responses import Response  # noqa: PLC0415

    monkeypatch.setattr(
        "hubbot.devhub.faults._refusal", lambda fault: Response(b"", fault.status, dict(fault.headers))
    )
    case.site.faults.limit_rate("POST", "/api/validate-yaml", wait=5)
    case.publish()
    state = case.end_state()
    assert {key: state[key] for key in COMPLETE} == COMPLETE
