"""What may be handed to the referee besides a plain sabotage: it answers, and never breaks off."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubbot.artifacts import Report
from tests.checkpoints_on_disk import Workshop, converted, edit_json, judged, look, rehash
from tests.sabotage.bench import SQUARE as SOURCE


@pytest.fixture
def good(workshop: Workshop, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    yield lambda variant: workshop.copy(SOURCE, variant, tmp_path / variant)
    for folder in tmp_path.iterdir():
        shutil.rmtree(folder)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "hubbot.json"])
def test_a_lost_file_is_refused(file: str, good: Callable[[str], Path], workshop: Workshop) -> None:
    folder = good("4bit")
    (folder / file).unlink()
    report = workshop.report(SOURCE, folder)
    if file == "hubbot.json":
        # Then it is simply not hubbot's: no hashes are known, and everything else still holds.
        assert next(f for f in report.findings if f.check == "file hashes").status == "not-run"
        return
    assert report.verdict == "refused"
    assert ("file hashes", file) in [(finding.check, finding.subject) for finding in report.failures]


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_config_that_is_none_is_refused(text: str, good: Callable[[str], Path], workshop: Workshop) -> None:
    folder = good("4bit")
    (folder / "config.json").write_text(text)
    rehash(folder)
    assert workshop.report(SOURCE, folder).verdict == "refused"


def test_the_artifact_of_another_model_is_refused(workshop: Workshop) -> None:
    report = workshop.report(SOURCE, workshop.artifact("qwen3_moe/hub", "bf16"))
    assert report.verdict == "refused"
    assert {finding.gate for finding in report.failures} >= {"structure"}


@pytest.mark.parametrize(
    "mark",
    [
        {"files": [{"name": "x"}]},
        {"files": 3},
        {"files": ["x"]},
        {"bytes": None},
        {"bits_per_weight": "many"},
    ],
    ids=range(5),
)
def test_a_mark_of_another_shape_does_not_stop_the_referee(
    mark: dict[str, object], good: Callable[[str], Path], workshop: Workshop
) -> None:
    folder = good("4bit")
    (folder / "hubbot.json").write_text(json.dumps({"made_by": "hubbot", **mark}))
    assert isinstance(workshop.report(SOURCE, folder), Report)


def test_a_config_that_divides_by_zero_is_refused(good: Callable[[str], Path], workshop: Workshop) -> None:
    folder = good("4bit")
    edit_json(folder / "config.json", num_attention_heads=0)
    rehash(folder)
    assert workshop.report(SOURCE, folder).verdict == "refused"


@pytest.mark.parametrize("how", ["changed", "lost", "added"])
def test_a_tokenizer_that_is_not_the_sources_is_refused(how: str, workshop: Workshop, tmp_path: Path) -> None:
    shutil.copytree(workshop.source(SOURCE).folder, tmp_path / "source")
    if how != "added":
        (tmp_path / "source" / "tokenizer.json").write_text('{"version": "1.0"}')
    source = look(tmp_path / "source")
    folder = converted(source, tmp_path / "out", "4bit")["4bit"]
    if how == "lost":
        (folder / "tokenizer.json").unlink()
    else:
        (folder / "tokenizer.json").write_text('{"version": "2.0"}')
    rehash(folder)
    assert judged(source, folder).verdict == "refused"
