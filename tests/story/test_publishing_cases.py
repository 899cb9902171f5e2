"""What people and Hubs do to published repos between two jobs; every publication stays right all the same."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubbot.devhub.stored_objects import Address
from hubbot.jobs import courtesies
from hubbot.jobs.audits import REVISION_DIGITS
from hubbot.jobs.bot import Bot
from hubbot.jobs.open_records import utc_now
from hubbot.jobs.pipeline import recipe_key
from hubbot.jobs.rehearsals import rehearse
from hubbot.lifecycle import Job, State
from tests.hub.embedded import LFS_WARNING, ORG, Site
from tests.story.bots import Stages, bot, on_the_hub, run_job, settings

pytestmark = pytest.mark.filterwarnings(LFS_WARNING)
FOX, OTHER = "fables/Fox", "other/Fox"
TARGET = f"{ORG}/Fox-MLX-4bit"


@pytest.fixture
def seeded(site: Site, fox: Path) -> Site:
    site.embedded.seed(FOX, fox)
    return site


@pytest.fixture
def opened(seeded: Site, stages: Stages, tmp_path: Path) -> Iterator[Bot]:
    with bot(seeded.client(), settings(tmp_path / "data", behaviour_tokens=64)) as running:
        yield running


def read(site: Site, path: str, repo: str = TARGET) -> str:
    data = site.client().read_file(repo, path, 1 << 24)
    assert data is not None
    return data.decode()


def change(site: Site, fox: Path, **files: str | bytes) -> None:
    """Make a new commit of the source."""
    for name, content in files.items():
        path = fox / name.replace("__", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    site.embedded.seed(FOX, fox)


def tags(site: Site) -> dict[str, str]:
    return {tag.name: tag.target_commit for tag in site.api().list_repo_refs(TARGET).tags}


def repaired(opened: Bot, job: Job) -> Job:
    """Run the job that an audit opens for a repo that it refused."""
    item = opened.results.publications(FOX)[0]
    head = opened.hub.head(TARGET)
    key = f"{recipe_key(('4bit',))}, repair of {head[:REVISION_DIGITS]}"
    repair, _ = opened.queue.enqueue(FOX, job.revision, ("4bit",), key, requested_by="audit")
    opened.results.record_audit(
        item, revision=head, verdict="refused", reason="a test", gates={}, versions={}, job_id=repair.id
    )
    opened.run_once(threading.Event(), 0)
    return opened.queue.job(repair.id)


# Courtesies


def test_a_tag_that_is_paid_late_is_put_on_the_commit_that_it_is_of(seeded: Site, opened: Bot, fox: Path) -> None:
    seeded.faults.fail("*", "/tag/", status=403, times=999)
    first = run_job(opened, FOX)
    before = seeded.client().head(TARGET)
    change(seeded, fox, generation_config__json='{"temperature": 0.5}')
    second = run_job(opened, FOX)
    assert (first.state, second.state) == (State.PUBLISHED, State.PUBLISHED)
    seeded.faults.clear()
    assert courtesies.pay(opened.results, seeded.client(), opened.settings) == 0
    assert tags(seeded) == {
        f"source-{first.revision[:12]}": before,
        f"source-{second.revision[:12]}": seeded.client().head(TARGET),
    }


def test_a_repo_that_was_hidden_meanwhile_joins_no_collection_later(seeded: Site, opened: Bot) -> None:
    seeded.faults.fail("*", "/api/collections", status=501, times=999)
    assert run_job(opened, FOX).state is State.PUBLISHED
    seeded.client().set_private(TARGET, private=True)
    seeded.faults.clear()
    assert courtesies.pay(opened.results, seeded.client(), opened.settings) == 0
    assert [len(found.items) for found in seeded.api().list_collections(owner=ORG)] in ([], [0])


def test_a_repo_that_somebody_has_hidden_is_kept_current_and_stays_hidden(
    seeded: Site, opened: Bot, fox: Path
) -> None:
    run_job(opened, FOX)
    for hidden, temperature in ((True, 0.5), (False, 0.7)):
        seeded.client().set_private(TARGET, private=hidden)
        change(seeded, fox, generation_config__json=json.dumps({"temperature": temperature}))
        job = run_job(opened, FOX)
        assert job.state is State.PUBLISHED
        assert json.loads(read(seeded, "hubbot.json"))["source"]["revision"] == job.revision
        assert on_the_hub(seeded) == {TARGET: hidden}


def test_what_is_owed_to_a_repo_that_is_gone_is_owed_no_more(seeded: Site, opened: Bot) -> None:
    seeded.faults.fail("*", "/api/collections", status=501, times=999)
    run_job(opened, FOX)
    seeded.api().delete_repo(TARGET)
    seeded.faults.clear()
    assert courtesies.pay(opened.results, seeded.client(), opened.settings) == 0
    assert opened.results.every(courtesies.KIND) == []


# What to download again


def test_weights_that_somebody_replaced_are_mended_and_the_card_says_so(seeded: Site, opened: Bot) -> None:
    job = run_job(opened, FOX)
    right = seeded.tree(TARGET)["model.safetensors"]
    seeded.api().upload_file(
        path_or_fileobj=os.urandom(right.size), path_in_repo="model.safetensors", repo_id=TARGET
    )
    assert repaired(opened, job).state is State.PUBLISHED
    assert seeded.tree(TARGET)["model.safetensors"].sha256 == right.sha256
    top = read(seeded, "README.md").split("## ")[0]
    assert "Download it again" in top
    assert "weights changed then, made anew from the same commit" in top


def test_a_tokenizer_that_somebody_deleted_is_mended_and_the_card_says_so(seeded: Site, opened: Bot) -> None:
    job = run_job(opened, FOX)
    seeded.api().delete_file("tokenizer.json", TARGET)
    assert repaired(opened, job).state is State.PUBLISHED
    assert "tokenizer changed then" in read(seeded, "README.md").split("## ")[0]


def test_a_repair_that_finds_nothing_to_mend_announces_nothing(seeded: Site, opened: Bot) -> None:
    job = run_job(opened, FOX)
    commits = len(seeded.api().list_repo_commits(TARGET))
    assert repaired(opened, job).state is State.PUBLISHED
    assert len(seeded.api().list_repo_commits(TARGET)) == commits
    assert "Download it again" not in read(seeded, "README.md")


# Licences


def test_a_new_text_of_what_license_link_names_goes_along(
    seeded: Site, opened: Bot, stages: Stages, fox: Path
) -> None:
    card = "---\nlicense: other\nlicense_name: ours\nlicense_link: words.md\n---\n"
    change(seeded, fox, README__md=card, words__md="old words")
    run_job(opened, FOX)
    assert read(seeded, "words.md") == "old words"
    change(seeded, fox, words__md="new words")
    assert run_job(opened, FOX).state is State.PUBLISHED
    assert read(seeded, "words.md") == "new words"


def test_a_card_that_links_to_another_licence_brings_that_file(seeded: Site, opened: Bot, fox: Path) -> None:
    change(seeded, fox, README__md="---\nlicense: mit\n---\n", words__md="words")
    run_job(opened, FOX)
    assert "words.md" not in seeded.tree(TARGET)
    change(seeded, fox, README__md="---\nlicense: other\nlicense_link: words.md\n---\n")
    assert run_job(opened, FOX).state is State.PUBLISHED
    assert read(seeded, "words.md") == "words"


def test_a_licence_of_which_nobody_knows_is_none(site: Site, stages: Stages, fox: Path, tmp_path: Path) -> None:
    (fox / "README.md").write_text("---\nlicense: unknown\n---\n")
    site.embedded.seed(FOX, fox)
    with bot(site.client(), settings(tmp_path / "data", without_licence="park", behaviour_tokens=64)) as opened:
        job = run_job(opened, FOX)
    assert job.state is State.PARKED
    assert "states no licence" in (job.error or {})["message"]
    assert "convert" not in stages.ran


# Names


def test_of_two_sources_with_one_name_the_second_waits_for_a_person_before_any_work(
    seeded: Site, opened: Bot, stages: Stages, fox: Path
) -> None:
    seeded.embedded.seed(OTHER, fox)
    hub = seeded.client()
    jobs = [
        opened.queue.enqueue(repo, hub.head(repo), ("4bit",), recipe_key(("4bit",)), requested_by="test")[0]
        for repo in (FOX, OTHER)
    ]
    # The first has begun; a second runner takes the second.
    begun = opened.queue.claim("elsewhere", 600)
    assert begun is not None
    assert begun.id == jobs[0].id
    opened.run_once(threading.Event(), 0)
    second = opened.queue.job(jobs[1].id)
    assert second.state is State.PARKED
    assert f"job {begun.id} makes it of {FOX}" in (second.error or {})["message"]
    assert "{owner}" in (second.error or {})["hint"]
    assert stages.ran == []
    opened.queue.cancel(begun.id)


def test_a_name_that_is_taken_by_a_repo_out_of_sight_waits_for_a_person(
    seeded: Site, opened: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {"error": "You already created this model repo"}
    seeded.faults.fail("POST", "/api/repos/create", status=409, times=99, body=taken)
    job = run_job(opened, FOX)
    assert job.state is State.PARKED
    assert (job.error or {})["kind"] == "NotOurs"
    assert on_the_hub(seeded) == {}


def test_a_published_repo_that_a_person_renamed_is_kept_current_under_its_new_name(
    seeded: Site, opened: Bot, fox: Path
) -> None:
    run_job(opened, FOX)
    hub, renamed = seeded.embedded._hub, f"{ORG}/The-Fox"
    with hub.lock:
        found = hub.repos.find(Address("models", *TARGET.split("/")))
        assert found is not None
        hub.repos.move(found, Address("models", *renamed.split("/")))
    change(seeded, fox, generation_config__json='{"temperature": 0.5}')
    job = run_job(opened, FOX)
    assert job.state is State.PUBLISHED
    assert on_the_hub(seeded) == {renamed: False}
    assert json.loads(read(seeded, "hubbot.json", renamed))["source"]["revision"] == job.revision
    heads = {tag.target_commit for tag in seeded.api().list_repo_refs(renamed).tags}
    assert seeded.client().head(renamed) in heads


@pytest.mark.parametrize("pattern", ["{name}-MLX-{variant}", "{owner}-{name}-MLX-{variant}"])
def test_a_source_that_moved_to_another_owner_is_not_made_anew(
    seeded: Site, stages: Stages, tmp_path: Path, pattern: str
) -> None:
    moved = "new-owner/Fox"
    with bot(seeded.client(), settings(tmp_path / "data", repo_name=pattern, behaviour_tokens=64)) as opened:
        run_job(opened, FOX)
        (target,) = on_the_hub(seeded)
        made, commits = len(stages.ran), len(seeded.api().list_repo_commits(target))
        hub = seeded.embedded._hub
        with hub.lock:
            found = hub.repos.find(Address("models", *FOX.split("/")))
            assert found is not None
            hub.repos.move(found, Address("models", *moved.split("/")))
        job = run_job(opened, moved)
    assert job.state is State.PUBLISHED
    assert on_the_hub(seeded) == {target: False}
    assert set(stages.ran[made:]) <= {"draw"}
    assert len(seeded.api().list_repo_commits(target)) == commits + 1
    assert f"base_model: {moved}" in read(seeded, "README.md", target)


# What is asked beforehand, and what is no news


def planned(opened: Bot, revision: str) -> list[tuple[str, str]]:
    told: dict[str, Any] = rehearse(
        FOX, revision, ("4bit",), settings=opened.settings, hub=opened.hub, results=opened.results,
        queue=opened.queue, now=utc_now(),
    )  # fmt: skip
    return [(step["step"], step["how"]) for step in told["steps"]]


def test_a_rehearsal_names_every_step_of_a_job_and_none_for_what_is_published(
    seeded: Site, opened: Bot, fox: Path
) -> None:
    revision = seeded.client().head(FOX)
    steps = [step for step, _ in planned(opened, revision)]
    assert steps == ["fetch", "convert", "verify", "smoke", "card", "publish", "tag", "collect"]
    run_job(opened, FOX)
    (only,) = planned(opened, revision)
    assert only[0] == "skip"
    assert "published already" in only[1]
    change(seeded, fox, README__md="---\nlicense: mit\n---\n")
    assert [step for step, _ in planned(opened, seeded.client().head(FOX))] == ["card", "tag", "collect"]


def test_a_card_that_a_person_edited_stays_until_there_is_news(
    seeded: Site, stages: Stages, fox: Path, opened: Bot, tmp_path: Path
) -> None:
    run_job(opened, FOX)
    mine = read(seeded, "README.md") + "\nA word of mine.\n"
    seeded.api().upload_file(path_or_fileobj=mine.encode(), path_in_repo="README.md", repo_id=TARGET)
    with bot(seeded.client(), settings(tmp_path / "other", behaviour_tokens=64)) as other:
        assert run_job(other, FOX).state is State.PUBLISHED
    assert read(seeded, "README.md") == mine
    change(seeded, fox, README__md="---\nlicense: mit\n---\n")
    assert run_job(opened, FOX).state is State.PUBLISHED
    assert "license: mit" in read(seeded, "README.md")
