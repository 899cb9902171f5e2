import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubbot.checks.readers.hashed_files import hash_files
from hubbot.checks.structure.recorded_files import check_files
from hubbot.checks.subject import described
from hubbot.errors import Disproved
from hubbot.marks import MARK
from tests.checkpoints_on_disk import read_folder, rewrite
from tests.sabotage.bench import SQUARE, Sabotage
from tests.sabotage.sources import FP8, MTP, WORDED, Sources
from tests.sabotage.table import README, SABOTAGES, judged, objection, row

CASES = [(sabotage, variant) for sabotage in SABOTAGES for variant in sabotage.variants]
# Broken in their tensors or config: whoever made them, and whatever they record.
STORED = [sabotage for sabotage in SABOTAGES if not sabotage.in_place]
WRITTEN = README.read_text("utf-8").splitlines()


def _ids(value: object) -> str:
    return value.name.replace(" ", "_") if isinstance(value, Sabotage) else str(value)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    root = tmp_path_factory.mktemp("sources")
    yield Sources(root)
    shutil.rmtree(root)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "artifact"
    shutil.rmtree(tmp_path / "artifact")


@pytest.mark.parametrize("variant", ["fp32", "bf16", "8bit", "4bit", "moe-3bit", "mxfp4", "nvfp4"])
@pytest.mark.parametrize("source", [SQUARE, FP8, MTP, WORDED])
def test_an_artifact_that_is_only_taken_apart_and_put_together_is_approved(
    source: str, variant: str, folder: Path, sources: Sources
) -> None:
    sources.copy(source, variant, folder)
    rewrite(folder, read_folder(folder))
    report = sources.report(source, folder)
    assert report.failures == ()
    assert report.verdict == "approved"


@pytest.mark.parametrize(("sabotage", "variant"), CASES, ids=_ids)
def test_a_sabotage_is_refused_by_a_finding_that_says_what_and_where(
    sabotage: Sabotage, variant: str, folder: Path, sources: Sources
) -> None:
    report = judged(sabotage, variant, folder, sources)
    assert report.verdict == "refused"
    with pytest.raises(Disproved):
        report.approve()
    finding = objection(sabotage, report)
    assert finding is not None, [(failure.check, failure.subject) for failure in report.failures]
    if variant == sabotage.variants[0]:
        assert row(sabotage, finding) in WRITTEN, "run python -m tests.refresh"


@pytest.mark.parametrize("sabotage", [sabotage for sabotage in STORED if not sabotage.own], ids=_ids)
def test_it_is_refused_too_if_nobody_recorded_any_hashes(
    sabotage: Sabotage, folder: Path, sources: Sources
) -> None:
    sources.copy(sabotage.source, sabotage.variants[-1], folder)
    sabotage.commit(folder)
    (folder / MARK).unlink()
    report = sources.report(sabotage.source, folder)
    assert objection(sabotage, report) is not None


@pytest.mark.parametrize("sabotage", STORED, ids=_ids)
def test_without_new_hashes_the_files_alone_give_it_away(
    sabotage: Sabotage, folder: Path, sources: Sources
) -> None:
    sources.copy(sabotage.source, sabotage.variants[0], folder)
    before = (folder / MARK).read_bytes()
    sabotage.commit(folder)
    (folder / MARK).write_bytes(before)
    artifact = described(sources.source(sabotage.source).checkpoint, folder)
    found = {finding.check: finding for finding in check_files(artifact, hash_files(folder))}
    assert found["file hashes"].status == "fail"


def test_the_table_has_a_row_for_every_sabotage_and_no_other() -> None:
    rows = [line for line in WRITTEN if line.startswith("| ") and not line.startswith("| mutation")]
    assert [line.split(" | ")[0].removeprefix("| ") for line in rows] == [made.name for made in SABOTAGES]
    assert len(SABOTAGES) == len({made.name for made in SABOTAGES})
    assert f"{len(SABOTAGES)} mutations, {len(SABOTAGES)} refused." in WRITTEN
