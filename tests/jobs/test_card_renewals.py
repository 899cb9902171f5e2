"""A commit of the source that changes no model, a new variant beside others: only cards change, all together."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubbot.devhub.demo_repos import write_demo_repos
from hubbot.jobs.pipeline import recipe_key
from hubbot.lifecycle import State
from tests.hub.embedded import LFS_WARNING, ORG, Site, calm, running
from tests.story.bots import Stages, bot, in_process, run_job, settings

pytestmark = pytest.mark.filterwarnings(LFS_WARNING)
FOX = "fables/Fox-8x-MoE-fused"
TARGET = f"{ORG}/Fox-8x-MoE-fused-MLX-4bit"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    exhibits = write_demo_repos(tmp_path_factory.mktemp("exhibits"))
    return next(exhibit.folder for exhibit in exhibits if exhibit.repo_id == FOX)


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    shutil.copytree(source, tmp_path / "fox")
    return tmp_path / "fox"


@pytest.fixture
def site(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    calm(monkeypatch, tmp_path)
    with running(tmp_path / "hub") as started:
        started.embedded.seed(FOX, folder)
        yield started


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    return in_process(monkeypatch)


def card(site: Site, repo: str = TARGET) -> str:
    data = site.client().read_file(repo, "README.md", 1 << 20)
    assert data is not None
    return data.decode()


def mark(site: Site) -> dict[str, Any]:
    data = site.client().read_file(TARGET, "hubbot.json", 1 << 24)
    assert data is not None
    found = json.loads(data)
    assert isinstance(found, dict)
    return found


def commits(site: Site, repo: str = TARGET) -> int:
    return len(site.api().list_repo_commits(repo))


def tags(site: Site) -> dict[str, str]:
    return {tag.name: tag.target_commit for tag in site.api().list_repo_refs(TARGET).tags}


def test_a_commit_that_changes_only_readme_and_media_renews_the_card_and_nothing_else(
    site: Site, stages: Stages, folder: Path, tmp_path: Path
) -> None:
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        first = run_job(opened, FOX)
        before, ran, made = site.tree(TARGET), len(stages.ran), mark(site)
        (folder / "README.md").write_text("---\nlicense: mit\n---\n# Fox, told better\n")
        (folder / "assets").mkdir()
        (folder / "assets" / "fox.png").write_bytes(b"\x89PNG")
        site.embedded.seed(FOX, folder)
        second = run_job(opened, FOX)
        assert second.id != first.id
        assert second.state is State.PUBLISHED
        assert set(stages.ran[ran:]) <= {"draw"}
        after = site.tree(TARGET)
        paths = {*before, *after}
        changed = {path for path in paths if path not in before or not before[path].is_same(after.get(path))}
        assert changed == {"README.md", "report.json"}
        assert mark(site) == made
        assert made["source"]["revision"] == first.revision
        assert f"| also current at | `{second.revision}`" in card(site)
        assert "license: mit" in card(site)
        assert tags(site)[f"source-{second.revision[:12]}"] == site.client().head(TARGET)
        # A job that an audit opened to mend the repo does the whole work.
        key = "4bit, repair of 0123456789ab"
        repair, _ = opened.queue.enqueue(FOX, second.revision, ("4bit",), key, requested_by="audit")
        opened.results.record_audit(
            opened.results.publications(FOX)[0], revision="a" * 40, verdict="refused", reason="a test", gates={},
            versions={}, job_id=repair.id,
        )  # fmt: skip
        opened.run_once(threading.Event(), 0)
        assert opened.queue.job(repair.id).state is State.PUBLISHED
        assert "convert" in stages.ran[ran:]
        assert mark(site)["source"]["revision"] == second.revision
        count = commits(site)
    # The same again by a bot that lost its database: nothing more is committed.
    with bot(site.client(), settings(tmp_path / "other")) as other:
        assert run_job(other, FOX).state is State.PUBLISHED
    assert commits(site) == count


def test_a_lost_database_makes_no_new_commit(site: Site, stages: Stages, tmp_path: Path) -> None:
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        run_job(opened, FOX)
    count = commits(site)
    with bot(site.client(), settings(tmp_path / "other")) as other:
        assert run_job(other, FOX).state is State.PUBLISHED
        assert [item.target_repo for item in other.results.publications()] == [TARGET]
    assert commits(site) == count


def test_changed_weights_are_converted_anew_and_the_card_says_since_when(
    site: Site, stages: Stages, folder: Path, tmp_path: Path
) -> None:
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        first = run_job(opened, FOX)
        assert "Download it again" not in card(site)
        template = json.loads((folder / "tokenizer_config.json").read_text())
        template["chat_template"] = template["chat_template"] + " "
        (folder / "tokenizer_config.json").write_text(json.dumps(template))
        site.embedded.seed(FOX, folder)
        assert run_job(opened, FOX).state is State.PUBLISHED
        told = card(site)
        assert ": chat template changed then" in told.split("## ")[0]
        assert f"before: `{first.revision[:12]}`" in told


def test_a_new_variant_is_on_the_cards_of_all_others_too(site: Site, stages: Stages, tmp_path: Path) -> None:
    other = f"{ORG}/Fox-8x-MoE-fused-MLX-8bit"
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        job = run_job(opened, FOX)
        weights = site.tree(TARGET)["model.safetensors"]
        opened.queue.enqueue(FOX, job.revision, ("8bit",), recipe_key(("8bit",)), requested_by="test")
        opened.run_once(threading.Event(), 0)
    for repo in (TARGET, other):
        assert f"{site.url}/{TARGET})" in card(site, repo)
        assert f"{site.url}/{other})" in card(site, repo)
    assert site.tree(TARGET)["model.safetensors"] == weights
    assert commits(site) == 3
    assert commits(site, other) == 2
