from typing import Any

import pytest

from hubbot.artifacts import Artifact, Finding
from hubbot.checkpoints import FileInfo, Repo
from hubbot.checks.structure.recorded_files import check_files


def artifact(**files: str) -> Artifact:
    return Artifact(
        source=Repo(id="o/m", revision="0" * 40), variant="4bit", path="x", nbytes=1, bits_per_weight=4.0,
        files=tuple(FileInfo(path=path, size=1, sha256=sha) for path, sha in files.items()),
    )  # fmt: skip


def by_check(findings: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_files_as_recorded_pass() -> None:
    found = by_check(check_files(artifact(config="a"), {"config": "a", "hubbot.json": "z", "README.md": "y"}))
    assert {finding.status for finding in found.values()} == {"pass"}


@pytest.mark.parametrize("digests", [{}, {"config": "b"}])
def test_a_lost_or_changed_file_fails_by_name(digests: dict[str, str]) -> None:
    found = by_check(check_files(artifact(config="a"), digests))
    assert (found["file hashes"].status, found["file hashes"].subject) == ("fail", "config")


def test_without_records_hashes_are_not_run_and_strays_cannot_be_told() -> None:
    found = by_check(check_files(artifact(), {"anything": "a", "tool.py": "b"}))
    assert found["file hashes"].status == "not-run"
    assert found["foreign files"].status == "pass"
    assert found["foreign code"].status == "fail"


def test_what_is_written_about_an_artifact_afterwards_is_no_stray() -> None:
    found = by_check(check_files(artifact(config="a"), {"config": "a", "report.json": "x", "odd.txt": "y"}))
    assert (found["foreign files"].measured, found["foreign files"].subject) == (1, "odd.txt")
