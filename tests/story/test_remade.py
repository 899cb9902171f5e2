"""What was published as text only is made anew with its tower when somebody asks, and its readers are told."""

import threading
from pathlib import Path

import pytest

from hubbot.jobs.bot import Bot
from hubbot.jobs.remakes import SEES_NOW, Remade, Remaking
from hubbot.lifecycle import State
from tests.hub.embedded import LFS_WARNING, ORG, Site
from tests.reference.checkpoints import case, write
from tests.story.bots import bot, run_job, settings

pytestmark = [pytest.mark.filterwarnings(LFS_WARNING), pytest.mark.usefixtures("stages")]
SOURCE = "fables/Owl"
TARGET = f"{ORG}/Owl-MLX-4bit"


@pytest.fixture
def seeing(site: Site, tmp_path: Path) -> Site:
    site.embedded.seed(SOURCE, write(case("qwen3_5_moe/orig"), tmp_path / "owl"))
    return site


def remade(opened: Bot, *, dry_run: bool = False) -> list[Remade]:
    remaking = Remaking(settings=opened.settings, hub=opened.hub, queue=opened.queue, results=opened.results)
    return list(remaking.run(opened.results.publications(), dry_run=dry_run))


def card(site: Site) -> str:
    data = site.client().read_file(TARGET, "README.md", 1 << 20)
    assert data is not None
    return data.decode()


def test_what_was_published_as_text_only_is_made_anew_with_its_tower_and_the_card_says_so(
    seeing: Site, tmp_path: Path
) -> None:
    with bot(seeing.client(), settings(tmp_path / "data", text_only=True)) as opened:
        run_job(opened, SOURCE)
        (left,) = remade(opened)
        assert (left.is_due, left.job_id, left.reason) == (False, None, "text only was asked for")
    assert "**Text only.**" in card(seeing)
    assert "vision_tower" not in str(seeing.tree(TARGET))
    with bot(seeing.client(), settings(tmp_path / "data")) as opened:
        (shown,) = remade(opened, dry_run=True)
        assert (shown.is_due, shown.job_id, len(opened.queue.jobs())) == (True, None, 1)
        (due,) = remade(opened)
        assert (due.is_due, due.reason) == (True, SEES_NOW)
        assert due.job_id is not None
        assert [item.job_id for item in remade(opened)] == [due.job_id], "one job for one commit"
        opened.run_once(threading.Event(), 0)
        assert opened.queue.job(due.job_id).state is State.PUBLISHED
        told = card(seeing)
        assert "**Text and images.**" in told
        assert "Download it again if your copy is older than" in told
        assert "it takes images, too, since then, and an older copy takes text alone" in told
        assert "made anew from the same commit of the source" in told
        (done,) = remade(opened)
        assert (done.is_due, done.job_id, done.reason) == (False, None, "it takes images already")


def test_the_variants_of_one_source_are_one_job(seeing: Site, tmp_path: Path) -> None:
    with bot(seeing.client(), settings(tmp_path / "data", text_only=True, variants=("4bit", "8bit"))) as opened:
        run_job(opened, SOURCE)
    with bot(seeing.client(), settings(tmp_path / "data")) as opened:
        (one, two) = remade(opened)
        assert one.job_id == two.job_id is not None
        assert set(opened.queue.job(one.job_id or 0).variants) == {"4bit", "8bit"}


def test_a_source_that_takes_text_alone_or_is_gone_is_not_made_anew(site: Site, fox: Path, tmp_path: Path) -> None:
    site.embedded.seed("fables/Fox", fox)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        run_job(opened, "fables/Fox")
        (found,) = remade(opened)
        assert (found.is_due, found.reason) == (False, "its source takes text alone")
        site.keep_only(site.repos - {"fables/Fox"})
        (found,) = remade(opened)
        assert not found.is_due
        site.api().delete_repo(f"{ORG}/Fox-MLX-4bit")
        (found,) = remade(opened)
        assert "is gone" in found.reason
        assert len(opened.queue.jobs()) == 1
