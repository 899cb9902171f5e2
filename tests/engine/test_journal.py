import json
from pathlib import Path

import pytest

from hubbot.engine.journal import NAME, Journal
from hubbot.folders import file_info


def interrupted(folder: Path, identity: str) -> None:
    journal = Journal(folder, identity)
    (folder / "model-1.safetensors").write_bytes(b"whole")
    journal.complete(file_info(folder / "model-1.safetensors", "model-1.safetensors"))
    (folder / "model-2.safetensors").write_bytes(b"half")


def test_a_complete_file_of_the_same_plan_is_kept_and_a_half_one_is_not(tmp_path: Path) -> None:
    interrupted(tmp_path, "plan")
    journal = Journal(tmp_path, "plan")
    assert set(journal.files) == {"model-1.safetensors"}
    assert journal.nbytes == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, "model-1.safetensors"]


def test_nothing_of_another_plan_is_kept(tmp_path: Path) -> None:
    interrupted(tmp_path, "plan")
    assert Journal(tmp_path, "another").files == {}
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_file_that_is_not_as_recorded_is_thrown_away(tmp_path: Path) -> None:
    interrupted(tmp_path, "plan")
    (tmp_path / "model-1.safetensors").write_bytes(b"wHole")
    assert Journal(tmp_path, "plan").files == {}
    assert not (tmp_path / "model-1.safetensors").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"identity": "plan"}', '{"identity": "plan", "files": [1]}', "{"]
)
def test_a_journal_that_cannot_be_read_keeps_nothing(tmp_path: Path, text: str) -> None:
    interrupted(tmp_path, "plan")
    (tmp_path / NAME).write_text(text)
    assert Journal(tmp_path, "plan").files == {}


def test_a_closed_journal_leaves_no_trace(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "plan")
    assert json.loads((tmp_path / NAME).read_text())["identity"] == "plan"
    journal.close()
    assert list(tmp_path.iterdir()) == []
