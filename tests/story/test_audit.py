"""A published repo goes bad: the audit says so and why, opens a job, and the job mends it."""

import shutil
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from hubbot.jobs.audits import NOT_JUDGED, Audited, Auditing
from hubbot.jobs.bot import Bot
from hubbot.lifecycle import State
from hubbot.runtime.models import axk1
from tests.checkpoints_on_disk import Workshop, read_folder, rewrite, workshop
from tests.hub.embedded import LFS_WARNING, ORG, Site
from tests.store.recorded import audits
from tests.story.bots import Stages, bot, run_job, settings

pytestmark = [pytest.mark.filterwarnings(LFS_WARNING), pytest.mark.usefixtures("stages")]
__all__ = ["workshop"]
OWLS = Path(__file__).parents[2] / "hubbot" / "devhub" / "demo_models" / "owl"
TARGET = f"{ORG}/Fox-MLX-4bit"
UP = "model.layers.0.mlp.switch_mlp.up_proj.weight"


@pytest.fixture
def seeded(site: Site, fox: Path) -> Site:
    site.embedded.seed("fables/Fox", fox)
    return site


def auditing(opened: Bot) -> Auditing:
    return Auditing(
        settings=opened.settings,
        hub=opened.hub,
        queue=opened.queue,
        results=opened.results,
        progress=lambda *_: None,
        cancelled=threading.Event(),
    )


def audited(opened: Bot) -> list[Audited]:
    audit = auditing(opened)
    return list(audit.run(audit.chosen({}, ())))


def damage(site: Site, folder: Path) -> None:
    """Exchange two experts of the published repo, with index and hashes that agree."""
    site.api().snapshot_download(TARGET, local_dir=folder)
    shutil.rmtree(folder / ".cache")
    (folder / ".gitattributes").unlink()
    stored = read_folder(folder)
    stored[UP][1][[0, 1]] = stored[UP][1][[1, 0]]
    rewrite(folder, stored)
    site.api().upload_folder(repo_id=TARGET, folder_path=folder)


def test_what_was_published_and_is_still_right_is_approved_and_recorded(
    seeded: Site, tmp_path: Path, stages: Stages
) -> None:
    chosen = settings(tmp_path / "data", variants=("4bit", "bf16"))
    with bot(seeded.client(), chosen) as opened:
        run_job(opened, "fables/Fox")
        stages.ran.clear()
        found = audited(opened)
        assert {(item.variant, item.verdict, item.job_id) for item in found} == {
            ("4bit", "approved", None),
            ("bf16", "approved", None),
        }
        assert stages.ran == ["verify_folder", "verify_folder"]
        assert {audit.target_repo for audit in audits(opened.results)} == {item.repo for item in found}
        assert audits(opened.results, TARGET)[0].gates["values"] == "pass"
        assert not list((chosen.data_dir / "work").glob("audit-*"))
        assert len(opened.queue.jobs()) == 1


def test_notes_and_pictures_that_people_added_are_theirs_and_code_is_not(seeded: Site, tmp_path: Path) -> None:
    with bot(seeded.client(), settings(tmp_path / "data")) as opened:
        run_job(opened, "fables/Fox")
        api = seeded.api()
        api.upload_file(path_or_fileobj=b"# mine", path_in_repo="notes/mine.md", repo_id=TARGET)
        assert [item.verdict for item in audited(opened)] == ["approved"]
        api.upload_file(path_or_fileobj=b"import os", path_in_repo="modeling.py", repo_id=TARGET)
        (found,) = audited(opened)
        assert (found.verdict, "modeling.py" in found.reason) == ("refused", True)


def test_what_went_bad_is_refused_and_the_job_that_it_opens_mends_it(seeded: Site, tmp_path: Path) -> None:
    with bot(seeded.client(), settings(tmp_path / "data")) as opened:
        run_job(opened, "fables/Fox")
        good = seeded.tree(TARGET)
        damage(seeded, tmp_path / "damaged")
        (found,) = audited(opened)
        assert found.verdict == "refused"
        assert UP in found.reason
        (again,) = audited(opened)
        assert again.job_id == found.job_id, "one repair for one commit"
        assert found.job_id is not None
        opened.run_once(threading.Event(), 0)
        assert opened.queue.job(found.job_id).state is State.PUBLISHED
        mended = seeded.tree(TARGET)
        card = seeded.api().hf_hub_download(TARGET, "README.md", local_dir=tmp_path / "card")
        assert "Download it again" in Path(card).read_text()
        assert mended["model.safetensors"].sha256 == good["model.safetensors"].sha256
        (last,) = audited(opened)
        assert (last.verdict, last.job_id) == ("approved", None)
        assert [audit.verdict for audit in audits(opened.results, TARGET)] == ["approved", "refused", "refused"]


def test_a_source_that_is_gone_says_nothing_about_what_was_made_of_it(seeded: Site, tmp_path: Path) -> None:
    with bot(seeded.client(), settings(tmp_path / "data")) as opened:
        run_job(opened, "fables/Fox")
        seeded.api().delete_repo(TARGET)
        (found,) = audited(opened)
        assert (found.verdict, found.job_id) == (NOT_JUDGED, None)
        assert len(opened.queue.jobs()) == 1


def test_versions_and_repos_choose_what_is_audited(seeded: Site, tmp_path: Path) -> None:
    with bot(seeded.client(), settings(tmp_path / "data")) as opened:
        run_job(opened, "fables/Fox")
        audit = auditing(opened)
        (made,) = opened.results.publications()
        version = made.made_with["mlx-lm"]
        assert audit.chosen({}, ()) == [made]
        assert audit.chosen({"mlx-lm": version}, [TARGET]) == [made]
        assert audit.chosen({"mlx-lm": version.rpartition(".")[0]}, ["fables/Fox"]) == [made]
        assert audit.chosen({"mlx-lm": "0.1"}, ()) == []
        assert audit.chosen({"hubbot": "9"}, ()) == []
        assert audit.chosen({}, ["somebody/else"]) == []


def test_a_repo_with_a_model_file_is_offered_without_it_once_mlx_lm_computes_the_same(
    site: Site, tmp_path: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "Axe"
    shutil.copytree(workshop.source("axk1/groups/orig").folder, source)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(OWLS / name, source / name)
    (source / "README.md").write_text("---\nlicense: mit\n---\n")
    site.embedded.seed("fables/Axe", source)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        run_job(opened, "fables/Axe")
        (found,) = audited(opened)
        assert (found.verdict, found.offer) == ("approved", None)
        later = ModuleType("mlx_lm.models.axk1")
        later.Model, later.ModelArgs = axk1.Model, axk1.ModelArgs  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, later.__name__, later)
        (found,) = audited(opened)
        assert found.offer is not None
        assert "it needs no axk1.py" in found.offer
