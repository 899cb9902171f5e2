"""Values that mlx-lm's class passes over or computes otherwise: each was converted and wrong once, or crashed."""

import json
from pathlib import Path
from typing import Any

import pytest

from hubbot.errors import ConfigUnresolved
from hubbot.steps.plan import plan
from tests.checkpoints_on_disk import look
from tests.reference.checkpoints import case, write

YARN = {"rope_type": "yarn", "rope_theta": 51234.0, "factor": 16.0, "original_max_position_embeddings": 64}
FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("phimoe/orig", {"num_experts_per_tok": 1}, "num_experts_per_tok = 1"),
        ("phimoe/orig", {"num_experts_per_tok": 4}, "num_experts_per_tok = 4"),
        ("deepseek_v3/orig", {"rope_interleave": False}, "rope_interleave = False"),
        ("kimi_k2/orig", {"rope_interleave": False}, "rope_interleave = False"),
        ("deepseek_v3/orig", {"scoring_func": "softmax"}, "scoring_func = 'softmax'"),
        ("deepseek_v3/orig", {"num_experts_per_tok": 1}, "one expert a token"),
        ("dots1/orig", {"num_experts_per_tok": 1}, "one expert a token"),
        ("afmoe/orig", {"num_experts_per_tok": 1}, "one expert a token"),
        ("nemotron_h/orig", {"num_experts_per_tok": 1}, "one expert a token"),
        ("kimi_linear/orig", {"num_experts_per_token": 1}, "one expert a token"),
        ("kimi_linear/orig", {"tie_word_embeddings": True}, "tie_word_embeddings = True"),
        ("bailing_hybrid/orig", {"tie_word_embeddings": True}, "tie_word_embeddings = True"),
        ("kimi_linear/orig", {"layer_types": [LINEAR] * 3}, "linear_attn_config"),
        ("lfm2_moe/orig", {"layer_types": [FULL] * 4}, "full_attn_idxs"),
        ("exaone_moe/orig", {"layer_types": [FULL] * 3}, "layer_types"),
        ("mellum/orig", {"layer_types": [SLIDING] * 3}, "layer_types"),
        ("llama4_text/orig", {"layer_types": [FULL] * 4}, "layer_types"),
        ("llama4_text/orig", {"rms_norm_eps": 0.02}, "rms_norm_eps = 0.02"),
        ("deepseek_v2/orig", {"rope_parameters": {**YARN, "rope_type": "linear"}}, "'linear'"),
        ("deepseek_v2/orig", {"rope_parameters": {**YARN, "rope_type": "llama3"}}, "'llama3'"),
        (
            "mellum/orig",
            {"rope_parameters": {FULL: {**YARN, "rope_type": "linear"}, SLIDING: {**YARN}}},
            "rope_type = 'linear'",
        ),
        ("olmoe/orig", {"rope_parameters": {**YARN, "mscale_all_dim": 1.0}}, "mscale_all_dim = 1.0"),
        ("dbrx/orig", {"rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}}, "attn_config"),
    ],
)
def test_a_value_that_mlx_lms_class_computes_otherwise_is_refused_by_name(
    name: str, changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    folder = write(case(name), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ConfigUnresolved, match=told):
        look(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("moe_normalize_expert_weights", None),
        ("moe_normalize_expert_weights", 2.0),
        ("ffn_act_fn", {"name": "gelu"}),
        ("moe_top_k", "2"),
    ],
)
def test_what_dbrx_keeps_inside_and_its_class_does_not_read_is_refused(
    key: str, value: Any, tmp_path: Path
) -> None:
    folder = write(case("dbrx/orig"), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["ffn_config"][key] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigUnresolved, match="ffn_config"):
        look(folder)


def test_a_class_that_looks_for_a_kind_of_layer_in_vain_refuses_the_config(tmp_path: Path) -> None:
    folder = write(case("gpt_oss/orig"), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_types": [FULL] * 2}))
    source = look(folder)
    with pytest.raises(ConfigUnresolved, match="does not take the config"):
        plan(source.checkpoint, source.layout, ["fp32"], working_bytes=1 << 20)
