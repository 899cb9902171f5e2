"""Biases that a class has no place for: dropped with the proof that they are zero, refused where one is not."""

import json
from pathlib import Path

import numpy as np
import pytest

from hubbot.catalogue.tensors import ZERO_BIAS
from hubbot.conversion.verdict import verdict_of
from hubbot.errors import IncompleteCover
from hubbot.folders import Folder
from tests.checkpoints_on_disk import (
    answer,
    converted,
    judged,
    look,
    planned,
    read_folder,
    relative,
    safetensors,
    stock_model,
)
from tests.reference.checkpoints import case, write

NAME = "model.layers.1.self_attn.q_proj.bias"


def with_a_bias(folder: Path, value: float, name: str = NAME) -> Path:
    """Qwen3 MoE with a bias that its class has none of; zeros but for one `value`."""
    write(case("qwen3_moe/orig"), folder)
    stored = read_folder(folder)
    weight = stored[NAME.replace(".bias", ".weight")][1]
    bias = np.zeros(weight.shape[0], np.float32)
    bias[1::2] = -0.0
    bias[-1] = value
    stored[name] = ("F32", bias.view("<u4"))
    (folder / "model.safetensors").write_bytes(safetensors(stored))
    return folder


def test_a_bias_of_zeros_is_dropped_with_the_proof_and_recorded(tmp_path: Path) -> None:
    source = look(with_a_bias(tmp_path / "source", 0.0))
    made = converted(source, tmp_path / "out", "fp32")["fp32"]
    dropped = json.loads((made / "hubbot.json").read_text())["dropped"]
    assert {"name": NAME, "reason": ZERO_BIAS} in dropped
    assert relative(answer(stock_model(made), case("qwen3_moe/orig").ids), case("qwen3_moe/orig").logits) < 1e-4
    report = judged(source, made)
    assert report.verdict == "approved"
    assert [(f.subject, f.measured) for f in report.findings if f.check == "zero biases"] == [(NAME, 1)]


def test_a_bias_that_adds_something_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = with_a_bias(tmp_path / "source", 1e-30)
    with pytest.raises(IncompleteCover, match="not all zero"):
        converted(look(folder), tmp_path / "out", "fp32")
    assert not (tmp_path / "out" / "fp32").exists()
    seen = verdict_of(Folder(folder), extensions=True, variants=[], working_bytes=1 << 20)
    assert (seen.record["verdict"], seen.exit_code) == ("incomplete", 4)


def test_the_referee_reads_the_zeros_itself(tmp_path: Path) -> None:
    source = look(with_a_bias(tmp_path / "source", 0.0))
    made = converted(source, tmp_path / "out", "fp32")["fp32"]
    with_a_bias(source.folder, 0.5)
    failed = [(f.check, f.subject) for f in judged(source, made).failures]
    assert ("source used", NAME) in failed


def test_a_bias_without_a_module_is_no_bias_of_zeros(tmp_path: Path) -> None:
    source = look(with_a_bias(tmp_path / "source", 0.0, "model.layers.1.self_attn.magic.bias"))
    with pytest.raises(IncompleteCover, match=r"magic\.bias"):
        planned(source, "fp32")
