"""Small DeepSeek-V4 models of other shapes than the references': their configs and weights, which both sides draw.

`deepseek_v4_shapes.npz` beside it holds the logits of transformers for each, recorded by make_deepseek_v4.py.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.reference.checkpoints import Floats, Ids, draw, draw_table

RECORDED = Path(__file__).with_suffix(".npz")
SEED, TOKENS = 29, 40
SLIDING, SPARSE, HEAVY = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"
# As transformers spells it.
BASE: dict[str, Any] = {
    "vocab_size": 24,
    "hidden_size": 32,
    "moe_intermediate_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "head_dim": 16,
    "partial_rotary_factor": 0.5,
    "q_lora_rank": 24,
    "o_groups": 2,
    "o_lora_rank": 8,
    "sliding_window": 5,
    "layer_types": [SLIDING, SPARSE, HEAVY],
    "compress_rates": {SPARSE: 4, HEAVY: 8},
    "mlp_layer_types": ["hash_moe", "moe", "moe"],
    "index_n_heads": 16,
    "index_head_dim": 16,
    "index_topk": 3,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "routed_scaling_factor": 1.75,
    "swiglu_limit": 0.75,
    "hc_mult": 4,
    "hc_sinkhorn_iters": 5,
    "max_position_embeddings": 2048,
    "rope_theta": 51234.0,
    "compress_rope_theta": 70000.0,
    "rope_parameters": {
        "rope_type": "yarn",
        "factor": 16.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "original_max_position_embeddings": 64,
    },
}
SHAPES: Mapping[str, dict[str, Any]] = {
    "every layer with a window alone": {"layer_types": [SLIDING] * 3},
    "every layer with an indexer": {"layer_types": [SPARSE] * 3},
    "every layer with all entries": {"layer_types": [HEAVY] * 3},
    "no layer hashed": {"mlp_layer_types": ["moe"] * 3},
    "every layer hashed": {"mlp_layer_types": ["hash_moe"] * 3},
    "a hashed layer behind others": {"mlp_layer_types": ["moe", "moe", "hash_moe"]},
    "more chosen than there are entries": {"index_topk": 64},
    "as many chosen as there are entries": {"index_topk": TOKENS // 4},
    "one entry chosen": {"index_topk": 1},
    "one stream": {"hc_mult": 1},
    "three streams, one step": {"hc_mult": 3, "hc_sinkhorn_iters": 1},
    "one group of heads": {"o_groups": 1},
    "a group a head": {"o_groups": 4},
    "a window of one token": {"sliding_window": 1},
    "a window longer than the text": {"sliding_window": 64},
    "long groups chosen among, short ones all seen": {"compress_rates": {SPARSE: 8, HEAVY: 2}},
    "whole heads rotated, no yarn": {"partial_rotary_factor": 1.0, "rope_parameters": None},
}


def shape(name: str) -> dict[str, Any]:
    """The config of a shape, as transformers spells it."""
    return {**BASE, **SHAPES[name]}


def ids() -> Ids:
    """The tokens that every model reads, [1, TOKENS]."""
    found: Ids = (draw(SEED, "ids", [1, TOKENS], 0.5, 0.29).clip(0, 0.999) * BASE["vocab_size"]).astype(np.int64)
    return found


def weight(config: Mapping[str, Any], name: str, size: tuple[int, ...]) -> Floats:
    """A parameter by transformers' name; biases have both signs."""
    if name.endswith("tid2eid"):
        return draw_table(SEED, name, size, config["n_routed_experts"])
    last = name.rpartition(".")[2]
    if "norm" in name:
        return draw(SEED, name, size, 1.0, 0.1)
    small = {"sinks": 0.6, "e_score_correction_bias": 0.2, "position_bias": 0.5, "base": 0.3, "scale": 0.7}
    scale = small.get(last.removeprefix("hc_"), 1.0 if "embed" in name else 1.2 / math.sqrt(size[-1]))
    return draw(SEED, name, size, 0.0, scale)
