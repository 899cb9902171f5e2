"""What relayout makes of a checkpoint is no dead end: convert takes it, and it computes what the source does."""

from pathlib import Path

import mlx_lm
import pytest

from tests.checkpoints_on_disk import answer, converted, judged, look, relative, stock_model
from tests.reference.checkpoints import case, write
from tests.relaid import relaid

NAMES = [
    "qwen3_moe/orig",
    "qwen3_5_moe/orig",
    "qwen3_vl_moe/orig",
    "qwen3_vl_moe/square/orig",
    "qwen3_vl_moe/half_square/orig",
]


@pytest.mark.parametrize("form", ["per_expert", "stacked"])
@pytest.mark.parametrize("name", NAMES)
def test_a_relaid_checkpoint_converts_to_the_same_function(name: str, form: str, tmp_path: Path) -> None:
    made = case(name)
    relaid(write(made, tmp_path / "source"), form, tmp_path / "relaid")
    source = look(tmp_path / "relaid")
    folder = converted(source, tmp_path / "out", "fp32")["fp32"]
    assert judged(source, folder).verdict == "approved"
    assert relative(answer(stock_model(folder), made.ids), made.logits) < made.tolerance


@pytest.mark.parametrize("form", ["per_expert", "per_expert_up_first", "mlx_switch"])
@pytest.mark.parametrize("name", ["hunyuan/orig", "hunyuan/fused/orig", "hunyuan/stacked/orig"])
def test_hunyuan_in_each_of_its_forms_converts_to_the_same_function(name: str, form: str, tmp_path: Path) -> None:
    made = case(name)
    relaid(write(made, tmp_path / "source"), form, tmp_path / "relaid")
    source = look(tmp_path / "relaid")
    folder = converted(source, tmp_path / "out", "fp32")["fp32"]
    assert source.layout.row == form
    assert judged(source, folder).verdict == "approved"
    model, *_ = mlx_lm.utils.load_model(folder, trust_remote_code=True)
    assert relative(answer(model, made.ids), made.logits) < made.tolerance
