"""What a stage leaves for the next is whole or not there."""

import os
from pathlib import Path

import pytest

from hubbot.conversion.workspace import Workspace
from hubbot.errors import TryLater, WorkLost
from tests.test_plans import LAYOUT, PLAN


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path / "work" / "job-1")


def test_what_was_saved_is_loaded(workspace: Workspace) -> None:
    workspace.save("plan", {"a": [1, None, "ü"]})
    assert workspace.load("plan") == {"a": [1, None, "ü"]}
    assert [path.name for path in workspace.root.iterdir()] == ["plan.json"]


@pytest.mark.parametrize("torn", [None, b"", b'{"a": ', b"\xff\xfe"])
def test_what_is_missing_or_torn_sends_the_job_back(workspace: Workspace, torn: bytes | None) -> None:
    workspace.root.mkdir(parents=True)
    if torn is not None:
        (workspace.root / "plan.json").write_bytes(torn)
    with pytest.raises(WorkLost, match=r"plan\.json of the job is missing or torn") as caught:
        workspace.load("plan")
    assert isinstance(caught.value, TryLater)
    assert caught.value.where == str(workspace.root / "plan.json")


def test_a_save_that_fails_keeps_what_was_there(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError("the power went out")

    workspace.save("plan", {"a": 1})
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="power"):
        workspace.save("plan", {"a": 2})
    assert workspace.load("plan") == {"a": 1}


def test_what_another_version_saved_sends_the_job_back(workspace: Workspace) -> None:
    workspace.check_format()
    workspace.save_layout(LAYOUT)
    workspace.save_plan(PLAN)
    workspace.check_format()
    assert workspace.layout() == LAYOUT
    assert workspace.plan() == PLAN
    for name, data in (("layout", LAYOUT.to_json()), ("plan", PLAN.to_json()), ("plan", [])):
        workspace.save_layout(LAYOUT)
        workspace.save_plan(PLAN)
        workspace.save(name, data)
        with pytest.raises(WorkLost, match=f"{name}.json of the job was written by another version"):
            workspace.check_format()
        with pytest.raises(WorkLost):
            workspace.layout() if name == "layout" else workspace.plan()
    workspace.forget_decisions()
    workspace.check_format()
    assert not workspace.has("plan")


def test_folders_have_their_places_and_all_go_at_once(workspace: Workspace) -> None:
    assert workspace.variant("4bit") == workspace.out / "4bit"
    workspace.variant("4bit").mkdir(parents=True)
    workspace.source.mkdir()
    workspace.remove()
    assert not workspace.root.exists()
    workspace.remove()
