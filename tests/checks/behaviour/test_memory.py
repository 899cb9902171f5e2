"""A model three times larger than the allowed memory, judged layer by layer in a child that measures itself."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from hubbot.checks.behaviour.corpus import read_text
from tests.checkpoints_on_disk import answer, converted, look, safetensors, stock_model

ROOT = Path(__file__).parents[3]
LAYERS, EXPERTS, HIDDEN, WIDTH = 12, 8, 256, 1024
ALLOWED = 50_000_000
CONFIG = {
    "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS, "intermediate_size": WIDTH, "moe_intermediate_size": WIDTH,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "num_experts": EXPERTS,
    "num_experts_per_tok": 2, "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [],
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "vocab_size": 128, "max_position_embeddings": 256,
    "tie_word_embeddings": False, "hidden_act": "silu",
}  # fmt: skip
JUDGE = """
import json, sys
from pathlib import Path
import mlx.core as mx
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.behaviour import gate
from hubbot.checks.subject import subject_of
from hubbot.folders import Folder
from hubbot.engine.memory import peak_resident_bytes
from hubbot.steps.inspect import inspect
source, artifact, allowed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
gate.blas_is_better = lambda: sys.argv[4] == "True"
checkpoint = inspect(Folder(source))
budget = Examination(memory_bytes=allowed)
subject = subject_of(checkpoint, source, artifact, progress=lambda *_: None, examination=budget)
subject.expected, subject.stored
mx.eval(mx.zeros((64, 64)) @ mx.zeros((64, 64)))
before = peak_resident_bytes()
outcome = gate.check_behaviour(subject)
print(json.dumps([peak_resident_bytes() - before, outcome.findings[0].measured, outcome.findings[0].reason]))
"""


def write_source(folder: Path) -> Path:
    """Write a checkpoint of 150 MB in bf16."""
    generator = np.random.default_rng(3)

    def matrix(*shape: int) -> tuple[str, Any]:
        values = generator.standard_normal(shape, dtype=np.float32) * np.float32(shape[-1] ** -0.5)
        return "BF16", (values.view(np.uint32) >> 16).astype(np.uint16)

    def ones(count: int) -> tuple[str, Any]:
        return "BF16", np.full(count, 0x3F80, np.uint16)

    stored = {"model.embed_tokens.weight": matrix(128, HIDDEN), "lm_head.weight": matrix(128, HIDDEN)}
    stored["model.norm.weight"] = ones(HIDDEN)
    for layer in (f"model.layers.{index}." for index in range(LAYERS)):
        for name, width in (("input_layernorm", HIDDEN), ("post_attention_layernorm", HIDDEN)):
            stored[f"{layer}{name}.weight"] = ones(width)
        for name, rows in (("q", 256), ("k", 128), ("v", 128), ("o", HIDDEN)):
            stored[f"{layer}self_attn.{name}_proj.weight"] = matrix(rows, 256)
        stored |= {f"{layer}self_attn.{name}_norm.weight": ones(64) for name in "qk"}
        stored[f"{layer}mlp.gate.weight"] = matrix(EXPERTS, HIDDEN)
        for expert in (f"{layer}mlp.experts.{number}." for number in range(EXPERTS)):
            stored |= {f"{expert}{name}_proj.weight": matrix(WIDTH, HIDDEN) for name in ("gate", "up")}
            stored[f"{expert}down_proj.weight"] = matrix(HIDDEN, WIDTH)
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(safetensors(stored))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.mark.parametrize("by_blas", [True, False])
def test_a_model_three_times_the_allowed_memory_gets_the_same_divergence_as_when_it_fits(
    by_blas: bool, tmp_path: Path
) -> None:
    source = look(write_source(tmp_path / "source"))
    assert source.checkpoint.weight_bytes > 3 * ALLOWED
    made = converted(source, tmp_path / "out", "bf16", "4bit", working_bytes=1 << 24)
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, str(source.folder), str(made["4bit"]), str(ALLOWED), str(by_blas)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    taken, measured, reason = json.loads(done.stdout.splitlines()[-1])
    assert "every logit is finite" in reason
    assert taken < ALLOWED
    assert measured["kl_mean"] == pytest.approx(divergence_in_memory(made), abs=5e-5)


def divergence_in_memory(made: dict[str, Path]) -> float:
    text = read_text(made["4bit"], None, tokens=512, vocabulary=128, context=256)
    whole, small = stock_model(made["bf16"]), stock_model(made["4bit"])
    small.set_dtype(mx.float32)
    found = []
    for ids in text.ids:
        left, right = (
            log_softmax(answer(model, ids)[text.scored_from : -1].astype(np.float64)) for model in (whole, small)
        )
        found.append((np.exp(left) * (left - right)).sum(axis=-1))
    return float(np.mean(found))


def log_softmax(logits: Any) -> Any:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
