"""The stock form is offered where mlx-lm's class computes what hubbot's model file does, and only there."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mlx.nn import Linear

from hubbot.errors import StructureMismatch
from hubbot.runtime import stock_form
from hubbot.runtime.models import axk1
from tests.checkpoints_on_disk import Workshop, workshop

__all__ = ["workshop"]


@pytest.fixture
def korean(workshop: Workshop) -> Path:
    return workshop.artifact("axk1/groups/orig", "4bit")


def later_mlx_lm(monkeypatch: pytest.MonkeyPatch, folder: Path, made: type) -> None:
    """Give mlx-lm a class of the artifact's model type, as a later version may have."""
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    module = ModuleType(f"mlx_lm.models.{kind}")
    module.Model, module.ModelArgs = made, axk1.ModelArgs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_nothing_is_offered_while_mlx_lm_has_no_class(korean: Path) -> None:
    assert stock_form.offer(korean) is None


def test_the_stock_form_is_offered_once_a_later_mlx_lm_computes_the_same(
    korean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later_mlx_lm(monkeypatch, korean, axk1.Model)
    told = stock_form.offer(korean)
    assert told is not None
    assert "needs no axk1.py" in told


def test_a_later_class_that_answers_otherwise_is_not_offered(
    korean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Louder(axk1.Model):
        def __call__(self, inputs: Any, cache: Any = None) -> Any:
            return super().__call__(inputs, cache) * 1.001

    later_mlx_lm(monkeypatch, korean, Louder)
    assert stock_form.offer(korean) is None


def test_a_later_class_that_does_not_load_it_is_not_offered(korean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(axk1.Model):
        def __init__(self, args: axk1.ModelArgs) -> None:
            super().__init__(args)
            self.more = Linear(2, 2)

    later_mlx_lm(monkeypatch, korean, Other)
    assert stock_form.offer(korean) is None


def test_an_artifact_without_a_model_file_of_hubbots_own_is_left_alone(korean: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(korean, folder)
    (folder / "axk1.py").write_text("raise SystemExit")
    assert stock_form.offer(folder) is None


def test_an_artifact_that_does_not_load_at_all_is_an_error(
    korean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later_mlx_lm(monkeypatch, korean, axk1.Model)
    folder = tmp_path / "torn"
    shutil.copytree(korean, folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(StructureMismatch):
        stock_form.offer(folder)
