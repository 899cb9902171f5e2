"""Side files and token ids are judged against the source."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hubbot.artifacts import Artifact
from hubbot.checkpoints import Checkpoint, FileInfo, Repo
from hubbot.checks.structure.side_files import check_side_files, check_token_ids
from hubbot.folders import Folder

MADE = (FileInfo(path="config.json", size=2, sha256="0" * 64),)


def statuses(source: Path, folder: Path, files: tuple[FileInfo, ...] = MADE) -> set[str]:
    artifact = Artifact(
        source=Repo(id="a/b", revision="0" * 40), variant="4bit", path=str(folder), files=files, nbytes=0,
        bits_per_weight=4.0,
    )  # fmt: skip
    checkpoint = Checkpoint(
        repo=artifact.source, config={}, card={}, files=Folder(source).files, tensors={}, gated=False,
        private=False, requests=0, bytes_read=0,
    )  # fmt: skip
    return {finding.status for finding in check_side_files(checkpoint, source, artifact)}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("source", "made"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text('{"a": 1}')
        (tmp_path / name / "LICENSE").write_text("words")
    return tmp_path / "source", tmp_path / "made"


def test_the_same_bytes_pass(pair: tuple[Path, Path]) -> None:
    assert statuses(*pair) == {"pass"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda made: (made / "tokenizer.json").write_text('{"a":1}'),
        lambda made: (made / "LICENSE").unlink(),
        lambda made: (made / "chat_template.jinja").write_text("{{ messages }}"),
    ],
    ids=["saved anew", "lost", "added"],
)
def test_any_other_bytes_fail(damage: Callable[[Path], object], pair: tuple[Path, Path]) -> None:
    damage(pair[1])
    assert statuses(*pair) == {"fail"}


def test_only_the_call_for_foreign_code_may_be_missing(pair: tuple[Path, Path]) -> None:
    source, made = pair
    (source / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": "x"}, "b": 2}))
    (made / "tokenizer_config.json").write_text(json.dumps({"b": 2}))
    assert statuses(source, made) == {"pass"}
    (made / "tokenizer_config.json").write_text(json.dumps({"b": 3}))
    assert statuses(source, made) == {"fail"}


def test_of_somebody_elses_artifact_it_says_that_it_did_not_look(pair: tuple[Path, Path]) -> None:
    assert statuses(*pair, files=()) == {"not-run"}


@pytest.mark.parametrize(
    ("source", "made", "status"),
    [
        ({"eos_token_id": 2}, {"eos_token_id": 2}, "pass"),
        ({"eos_token_id": 2}, {"eos_token_id": [2, 7]}, "pass"),  # as generation_config.json says
        ({"eos_token_id": 2}, {"eos_token_id": 3}, "fail"),
        ({"eos_token_id": 2}, {}, "fail"),
        ({}, {"pad_token_id": 9}, "fail"),
    ],
)
def test_token_ids_are_the_sources(
    source: dict[str, int], made: dict[str, object], status: str, tmp_path: Path
) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    assert [finding.status for finding in check_token_ids(tmp_path, source, made)] == [status]
