"""What the version that called layouts by letters has left: its artifacts verify, its records are read."""

import json
import shutil
from pathlib import Path

import pytest

from hubbot.checks.tracer.gate import Tracer
from hubbot.conversion.convert_twin import convert_twin
from hubbot.finishing import record
from hubbot.folders import Folder, file_info
from hubbot.marks import MARK, read_mark, recorded
from hubbot.runtime import loading
from hubbot.steps.classify import classify
from hubbot.steps.convert import Bounds, convert
from hubbot.steps.inspect import inspect
from hubbot.steps.plan import plan
from hubbot.steps.verify import verify
from tests.checkpoints_on_disk import quietly, read_folder
from tests.hub.embedded import LFS_WARNING, ORG, Site
from tests.reference.checkpoints import case, write
from tests.relaid import relaid, same
from tests.story.bots import bot, settings
from tests.story.test_audit import audited

FORMER = Path(__file__).parent / "former"
WEIGHTS = "model.safetensors"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(case("qwen3_moe/v5"), tmp_path / "qwen3_moe")


@pytest.fixture
def artifact(source: Path, tmp_path: Path) -> Path:
    """The former version's artifact, with the weights that today's converter makes."""
    checkpoint = inspect(Folder(source))
    made = plan(checkpoint, classify(checkpoint), ["4bit"], working_bytes=1 << 30)
    bounds = Bounds(working_bytes=1 << 30, shard_bytes=1 << 30)
    convert(checkpoint, made, source=source, out=tmp_path / "new", bounds=bounds, progress=quietly)
    folder = shutil.copytree(FORMER / "qwen3_moe-4bit", tmp_path / "former")
    shutil.copy(tmp_path / "new" / "4bit" / WEIGHTS, folder / WEIGHTS)
    mark = json.loads((folder / MARK).read_text())
    assert (mark["format"], mark["layout"]["row"]) == (1, "E")
    # Of another converter the tracer would say nothing; here it is to compare the layouts.
    (folder / MARK).write_text(json.dumps({**mark, "versions": loading.versions()}))
    return folder


def test_an_artifact_with_letters_verifies_and_is_marked_in_words(source: Path, artifact: Path) -> None:
    report = verify(
        inspect(Folder(source)), source=source, artifact=artifact, progress=quietly, tracer=Tracer(convert_twin)
    )
    assert report.verdict == "approved"
    assert report.gates["structure"] == report.gates["values"] == report.gates["tracer"] == "pass"
    (layout,) = [item for item in report.findings if (item.gate, item.check) == ("tracer", "layout")]
    assert layout.measured == layout.allowed
    assert layout.status == "pass"
    record(report)
    written = json.loads((artifact / MARK).read_text())
    assert (written["format"], written["layout"]["row"], written["verified"]) == (2, "stacked_fused", True)


def test_another_row_than_the_twins_is_refused_in_letters_as_in_words(source: Path, artifact: Path) -> None:
    mark = json.loads((artifact / MARK).read_text())
    (artifact / MARK).write_text(json.dumps({**mark, "layout": {**mark["layout"], "row": "A"}}))
    report = verify(
        inspect(Folder(source)), source=source, artifact=artifact, progress=quietly, tracer=Tracer(convert_twin)
    )
    assert report.verdict == "refused"
    (layout,) = [item for item in report.findings if (item.gate, item.check) == ("tracer", "layout")]
    assert layout.status == "fail"


def test_todays_weights_are_those_that_the_mark_records(artifact: Path) -> None:
    mark = read_mark(artifact)
    assert mark is not None
    (weights,) = [file for file in recorded(mark) if file.path == WEIGHTS]
    assert file_info(artifact / WEIGHTS, WEIGHTS) == weights


@pytest.mark.filterwarnings(LFS_WARNING)
@pytest.mark.usefixtures("stages")
def test_a_published_repo_with_letters_is_audited_and_approved(
    site: Site, source: Path, artifact: Path, tmp_path: Path
) -> None:
    target = f"{ORG}/qwen3_moe-MLX-4bit"
    site.embedded.seed("fables/qwen3_moe", source)
    site.embedded.seed(target, artifact)
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        made_of = opened.hub.open("fables/qwen3_moe", None).repo
        opened.results.record_publication(
            source_repo=made_of.id,
            source_revision=made_of.revision,
            variant="4bit",
            target_repo=target,
            target_revision=opened.hub.open(target, None).repo.revision,
            bits_per_weight=4.5724,
            size_bytes=263_040,
            report={"verdict": "approved", "gates": {}, "versions": loading.versions()},
        )
        (found,) = audited(opened)
    assert (found.verdict, found.job_id) == ("approved", None)
    assert found.gates["tracer"] == "pass"


def test_a_folder_that_was_rewritten_under_the_former_word_is_replaced(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    relaid(source, "stacked_fused", out)
    before = read_folder(out)
    former = json.loads((FORMER / "qwen3_moe-relaid" / MARK).read_text())
    assert former["variant"] == "relayout fused"
    (out / MARK).write_text(json.dumps(former))
    relaid(source, "stacked_fused", out)
    assert same(read_folder(out), before)
    assert json.loads((out / MARK).read_text())["variant"] == "relayout stacked-fused"
