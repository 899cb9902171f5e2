import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.catalogue.experts import completeness
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import (
    AmbiguousLayout,
    ConfigUnresolved,
    HubbotError,
    IncompleteCover,
    NeedsHuman,
    NoRuntime,
    NotMixtureOfExperts,
    UnknownLayout,
    UnknownPacking,
)
from hubbot.folders import Folder
from hubbot.steps.classify import classify
from hubbot.steps.inspect import inspect
from tests.checkpoints_on_disk import CONVERTIBLE, REFUSED, Workshop
from tests.reference.checkpoints import Case, tensors, write
from tests.reference.packing import PACKINGS


def changed(
    found: Checkpoint, *, without: str = "", renamed: tuple[str, str] | None = None, **config: Any
) -> Checkpoint:
    tensors = {name: tensor for name, tensor in found.tensors.items() if not (without and without in name)}
    if renamed:
        tensors = {
            name.replace(*renamed): dataclasses.replace(tensor, name=name.replace(*renamed))
            for name, tensor in tensors.items()
        }
    return dataclasses.replace(found, tensors=tensors, config={**found.config, **config})


@pytest.fixture
def qwen(workshop: Workshop) -> Checkpoint:
    return workshop.source("qwen3_moe/hub").checkpoint


# What transformers writes for these; all others have per-expert gate, up and down projections.
ORIGINAL_ROWS = {
    "per_expert_w": {
        "mixtral",
        "phimoe",
        "minimax_m2",
        "lfm2_moe",
        "kimi_linear",
        "kimi_k3",
        "minimax_m3_vl",
        "deepseek_v4",
    },
    "gateless": {"nemotron_h"},
    "stacked_fused": {"mistral4", "gemma4", "gemma4_text", "qwen3_vl_moe", "mistral3"},
    "stacked_in_moe": {"step3p5", "step3p7"},
    "granite_fused": {"granitemoe", "granitemoehybrid", "granitemoeshared"},
    "flat": {"dbrx"},
    "stacked_fused_transposed": {"gpt_oss", "llama4", "llama4_text"},
}
# Two forms of Tencent's own releases beside single projections.
HUNYUAN_ROWS = {"fused": "per_expert_up_first", "stacked": "mlx_switch"}
EXPERTS = re.compile(
    r"(?:layers|blocks)\.(\d+)\.(?:(?:\w+\.)?(?:experts\.(?!e_score)|input_linear\.|switch_mlp\.)|moe\.(?:gate|up|down)_proj\.)"
)
LAYER = re.compile(r"(?<!encoder\.)(?:layers|blocks)\.(\d+)\.")
# Towers, talkers and projectors beside the decoder.
BESIDE = ("vision", "visual", "audio_tower", "mm_projector", "multi_modal_projector")


def row_of(made: Case) -> str:
    if made.form == "transposed":
        return "stacked_fused_transposed"
    if made.model_type == "hunyuan" and made.model in HUNYUAN_ROWS:
        return HUNYUAN_ROWS[made.model]
    if made.form == "mxfp4":
        return "stacked_fused"
    if made.form in {"v5", "fp8_fused"}:
        return "stacked_gateless" if made.model_type == "nemotron_h" else "stacked_fused"
    return next((row for row, types in ORIGINAL_ROWS.items() if made.model_type in types), "per_expert")


@pytest.mark.parametrize("made", CONVERTIBLE, ids=lambda made: made.name)
def test_what_transformers_wrote_is_recognised_with_its_numbers(made: Case, workshop: Workshop) -> None:
    layout = workshop.source(made.name).layout
    config = made.config | made.config.get("thinker_config", {})  # Qwen3-Omni's, one deeper
    config |= config.get("text_config", {})
    # A layer beyond the last is a head that predicts further tokens.
    beyond = f"layers.{config.get('num_hidden_layers')}."
    names = [name for name in tensors(made) if not any(one in name for one in (*BESIDE, beyond))]
    assert layout.row == row_of(made)
    config |= config.get("ffn_config", {})
    keys = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
    assert layout.num_experts == next(config[key] for key in keys if config.get(key))
    chosen = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts", "moe_top_k", "moe_k")
    said = next(config[key] for key in chosen if config.get(key))
    assert layout.experts_per_token == (said[0] if isinstance(said, list) else said)  # Tencent's: one a layer
    assert layout.layers == len({found[1] for name in names if (found := LAYER.search(name))})
    assert layout.moe_layers == tuple(sorted({int(found[1]) for name in names if (found := EXPERTS.search(name))}))
    assert layout.orientation == ("in,out" if layout.row == "stacked_fused_transposed" else "out,in")
    assert (layout.packing == "none") == (made.form not in PACKINGS)
    fused = "interleaved" if made.model_type == "gpt_oss" else "concatenated"
    shared = {"stacked_fused", "granite_fused", "stacked_fused_transposed"}
    orders = {"per_expert_up_first": "up-first", **dict.fromkeys(shared, fused)}
    assert layout.order == orders.get(layout.row)
    assert layout.evidence


@pytest.mark.parametrize("made", REFUSED, ids=lambda made: made.name)
def test_every_other_reference_is_refused_and_waits_for_a_person(made: Case, tmp_path: Path) -> None:
    found = inspect(Folder(write(made, tmp_path)))
    with pytest.raises(NeedsHuman):
        classify(found)


def test_a_dense_model_is_none_of_hubbots_business(qwen: Checkpoint) -> None:
    config = {"num_experts": None, "num_experts_per_tok": None}
    with pytest.raises(NotMixtureOfExperts, match="qwen3_moe is dense"):
        classify(changed(qwen, without=".experts.", **config))


def test_a_config_that_speaks_of_experts_without_expert_tensors_is_an_unknown_layout(qwen: Checkpoint) -> None:
    with pytest.raises(UnknownLayout, match="num_experts = 8, but no tensor name speaks of experts"):
        classify(changed(qwen, without=".experts."))


def test_an_expert_tensor_that_no_row_knows_is_named_with_shape_and_dtype(qwen: Checkpoint) -> None:
    with pytest.raises(
        UnknownLayout, match=r"'model.layers.0.mlp.experts.0.zeta.weight' \[128, 64\] F32 and 15 more"
    ):
        classify(changed(qwen, renamed=("gate_proj", "zeta")))


def test_two_layouts_at_once_are_ambiguous(qwen: Checkpoint) -> None:
    extra = TensorInfo(
        name="model.layers.0.mlp.experts.gate_up_proj", dtype="F32", shape=(8, 256, 64), shard="x", start=0, end=1
    )
    with pytest.raises(AmbiguousLayout, match="several layouts at once"):
        classify(dataclasses.replace(qwen, tensors={**qwen.tensors, extra.name: extra}))


@pytest.mark.parametrize(
    ("model_type", "kind", "told"),
    [
        (
            "bailing_moe_linear",
            AmbiguousLayout,
            "nothing proves its meaning for model type bailing_moe_linear",
        ),
        # MiniMax-01: mlx-lm's class of that name is MiniMax-M2.
        ("minimax", AmbiguousLayout, "nothing proves its meaning for model type minimax"),
        ("jetmoe", NoRuntime, "has no class for model type jetmoe"),
        ("", AmbiguousLayout, r"model type \(none\)"),
        ("../../etc/passwd", NoRuntime, "has no class"),
    ],
)
def test_a_known_layout_under_another_model_type_is_not_guessed(
    qwen: Checkpoint, model_type: str, kind: type[HubbotError], told: str
) -> None:
    with pytest.raises(kind, match=told):
        classify(changed(qwen, model_type=model_type))


def test_a_row_that_is_not_listed_for_the_family_is_ambiguous(workshop: Workshop) -> None:
    fused = workshop.source("mixtral/v5").checkpoint
    renamed = changed(changed(fused, renamed=("gate_up_proj", "w13_weight")), renamed=("down_proj", "w2_weight"))
    with pytest.raises(AmbiguousLayout, match=r"layout w13 .* not listed for model type mixtral"):
        classify(renamed)


def test_experts_under_another_block_than_the_familys_are_unknown(qwen: Checkpoint) -> None:
    with pytest.raises(UnknownLayout, match="not expected under 'feed_forward'"):
        classify(changed(qwen, renamed=(".mlp.", ".feed_forward.")))


@pytest.mark.parametrize("block", [{"quant_method": "fp8"}, {"quant_method": "mxfp4"}])
def test_a_declared_packing_is_refused_by_its_name(qwen: Checkpoint, block: dict[str, str]) -> None:
    with pytest.raises(UnknownPacking, match=block["quant_method"]):
        classify(changed(qwen, quantization_config=block))


def test_a_packed_tensor_is_refused_and_named(qwen: Checkpoint) -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    packed = dataclasses.replace(qwen.tensors[name], dtype="F8_E4M3")
    with pytest.raises(UnknownPacking, match="stored as F8_E4M3") as caught:
        classify(dataclasses.replace(qwen, tensors={**qwen.tensors, name: packed}))
    assert name in str(caught.value.where)


def test_a_missing_expert_is_named_by_layer_and_number(qwen: Checkpoint) -> None:
    with pytest.raises(IncompleteCover, match="layer 1, expert 5 lacks gate and up and down"):
        classify(changed(qwen, without="layers.1.mlp.experts.5."))


@pytest.mark.parametrize("count", [7, 9])
def test_an_odd_count_of_experts_is_refused(qwen: Checkpoint, count: int) -> None:
    with pytest.raises(IncompleteCover):
        classify(changed(qwen, num_experts=count))


def test_a_flag_that_mlx_lm_ignores_is_refused_by_key_and_value(qwen: Checkpoint) -> None:
    with pytest.raises(ConfigUnresolved, match="attention_bias = True") as caught:
        classify(changed(qwen, attention_bias=True))
    assert "config.json" in str(caught.value.where)


def test_experts_beyond_the_last_layer_are_refused(qwen: Checkpoint) -> None:
    with pytest.raises(IncompleteCover, match="tensors of layer 1, but the config says num_hidden_layers = 1"):
        classify(changed(qwen, num_hidden_layers=1))


def test_a_config_that_declares_a_hundred_million_experts_is_refused_at_once(
    qwen: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(count: int) -> Iterator[int]:
        for number in range(count):
            assert number < 1000, "counted one by one"
            yield number

    monkeypatch.setattr(completeness, "range", impatient, raising=False)
    with pytest.raises(IncompleteCover, match="layer 0, expert 8 lacks gate and up and down"):
        classify(changed(qwen, num_experts=100_000_000))


def test_shapes_that_disagree_with_hidden_size_are_refused(qwen: Checkpoint) -> None:
    with pytest.raises(IncompleteCover, match="hidden_size = 65"):
        classify(changed(qwen, hidden_size=65))


def test_the_evidence_counts_the_tensors_that_were_matched(workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/v5")
    assert "4 tensors match row stacked_fused (" in source.layout.evidence[0]
    assert any("concatenated, gate first" in line for line in source.layout.evidence)
    assert np.prod([len(source.layout.moe_layers), source.layout.num_experts]) == 16
