"""A Hub that lacks something (no collections, or no tags for this token) keeps no variant from its publication."""

import threading
from pathlib import Path

import pytest

from hubbot.jobs import courtesies
from hubbot.jobs.bot import Bot
from hubbot.lifecycle import Job, State
from tests.hub.embedded import LFS_WARNING, ORG, Site, upload_over_lfs
from tests.story.bots import Stages, bot, on_the_hub, run_job, settings

pytestmark = pytest.mark.filterwarnings(LFS_WARNING)
VARIANTS = ("8bit", "4bit")
REPOS = {f"{ORG}/Fox-MLX-{variant}": False for variant in VARIANTS}
LACKS = [("501 to collections", "/api/collections", 501, "collection"), ("403 to tags", "/tag/", 403, "tag")]


@pytest.mark.parametrize(("path", "status", "what"), [given[1:] for given in LACKS], ids=[one[0] for one in LACKS])
@pytest.mark.parametrize("mode", ["xet", "lfs"])
def test_every_variant_is_public_after_one_run_and_what_was_refused_is_made_up_for_later(
    site: Site, fox: Path, tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch,
    mode: str, path: str, status: int, what: str,
) -> None:  # fmt: skip
    if mode == "lfs":
        upload_over_lfs(monkeypatch)
    site.embedded.seed("fables/Fox", fox)
    site.faults.fail("*", path, status=status, times=999)
    with bot(site.client(), settings(tmp_path / "data", variants=VARIANTS)) as opened:
        job = run_job(opened, "fables/Fox")
        assert job.state is State.PUBLISHED
        assert on_the_hub(site) == REPOS
        assert refused(opened, job) == {variant: {what} for variant in VARIANTS}
        commits = {repo: len(site.api().list_repo_commits(repo)) for repo in REPOS}
        site.faults.clear()
        opened.run_once(threading.Event(), 0)
        assert refused(opened, job) == {}
    api = site.api()
    (collection,) = api.list_collections(owner=ORG)
    assert {item.item_id for item in api.get_collection(collection.slug).items} == set(REPOS)
    for repo in REPOS:
        state = site.client().state(repo)
        assert state is not None
        assert [tag.target_commit for tag in api.list_repo_refs(repo).tags] == [state.revision]
    assert {repo: len(api.list_repo_commits(repo)) for repo in REPOS} == commits


def refused(opened: Bot, job: Job) -> dict[str, set[str]]:
    """Return which courtesies are owed to which variant, as `hubbot show` says it."""
    noted = [found for found in opened.results.all(job.id) if found.kind == courtesies.KIND]
    return {str(found.variant): set(found.data["refused"]) for found in noted if found.data}
