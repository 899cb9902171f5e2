"""The referee accepts exactly hubbot's own model files, where a family needs one, and no other code."""

import json
import py_compile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubbot.artifacts import Report
from hubbot.catalogue import extensions
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.checks.structure.recorded_files import check_code
from tests.checkpoints_on_disk import Workshop, edit_json, rehash

SOURCE = "ernie4_5_moe/orig"


def failed(report: Report) -> dict[str, Any]:
    return {finding.check: finding for finding in report.findings if finding.status == "fail"}


def test_an_artifact_with_its_own_file_is_approved_and_says_so(workshop: Workshop) -> None:
    report = workshop.report(SOURCE, workshop.artifact(SOURCE, "4bit"))
    assert report.verdict == "approved"
    told = {finding.check: finding.reason for finding in report.findings}
    assert told["foreign code"] == "none; ernie4_5_moe.py is hubbot's own"
    assert "trust_remote_code" in told["strict load"]


def replaced(folder: Path) -> None:
    (folder / "ernie4_5_moe.py").write_bytes(extensions.content("ernie4_5_moe.py") + b"\n")


def exchanged(folder: Path) -> None:
    (folder / "ernie4_5_moe.py").write_bytes(extensions.content("jamba.py"))


def with_more(folder: Path) -> None:
    (folder / "helpers.py").write_text("")


def of_another_family(folder: Path) -> None:
    (folder / "jamba.py").write_bytes(extensions.content("jamba.py"))
    edit_json(folder / "config.json", model_file="jamba.py")


def without_the_key(folder: Path) -> None:
    edit_json(folder / "config.json", "model_file")


def with_a_map(folder: Path) -> None:
    edit_json(folder / "config.json", auto_map={"AutoModel": "ernie4_5_moe.Model"})


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (replaced, "foreign code"),
        (exchanged, "foreign code"),
        (with_more, "foreign code"),
        (of_another_family, "config runs code"),
        (without_the_key, "config runs code"),
        (with_a_map, "config runs code"),
    ],
)
def test_any_other_code_or_key_is_refused(
    damage: Callable[[Path], None], check: str, workshop: Workshop, tmp_path: Path
) -> None:
    folder = workshop.copy(SOURCE, "4bit", tmp_path / "x")
    damage(folder)
    rehash(folder)
    report = workshop.report(SOURCE, folder)
    assert report.verdict == "refused"
    assert check in failed(report)


def test_a_family_that_needs_no_file_may_name_none() -> None:
    family = BY_MODEL_TYPE["qwen3_moe"]
    found = list(check_code({"model_file": "jamba.py"}, family))
    assert [finding.status for finding in found] == ["fail"]
    assert [finding.status for finding in check_code({}, family)] == ["pass"]


def test_what_python_compiled_here_is_no_file_of_the_repo_and_what_it_would_run_blindly_is(
    workshop: Workshop, tmp_path: Path
) -> None:
    folder = workshop.copy(SOURCE, "4bit", tmp_path / "x")
    compiled = folder / "__pycache__" / "ernie4_5_moe.cpython-311.pyc"
    own = str(folder / "ernie4_5_moe.py")
    py_compile.compile(own, str(compiled), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    assert workshop.report(SOURCE, folder).verdict == "approved"
    for mode in (py_compile.PycInvalidationMode.CHECKED_HASH, py_compile.PycInvalidationMode.UNCHECKED_HASH):
        py_compile.compile(own, str(compiled), invalidation_mode=mode)
        found = failed(workshop.report(SOURCE, folder))
        assert found["foreign code"].subject == "__pycache__/ernie4_5_moe.cpython-311.pyc"


def test_the_mark_lists_the_file_with_its_sha256(workshop: Workshop) -> None:
    mark = json.loads((workshop.artifact(SOURCE, "4bit") / "hubbot.json").read_text())
    listed = {file["path"]: file["sha256"] for file in mark["files"]}
    assert listed["ernie4_5_moe.py"] == extensions.digest("ernie4_5_moe.py")
