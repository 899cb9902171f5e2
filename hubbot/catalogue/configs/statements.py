"""Config keys that state what a model class may always do: scores, selection, norms, biases, gates, rope.

A family's row says what its class does where that is not the plain thing; a key is neutral where it says the same.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs.meanings import States

# What each statement is about, and what a class does whose row says nothing of it.
PLAIN: Mapping[str, Any] = {
    "activation": "silu",
    "mamba_activation": "silu",
    "linear_activation": "silu",
    "swiglu_limit": None,
    "swiglu_alpha": None,
    "norm": "rms",
    "qk_norm": "none",
    "attention": "plain",
    "key_heads": None,  # of a class that has one for all query heads
    "attention_gate": "none",
    "direction": "causal",
    "scores": "softmax",
    "selection": "plain",
    "renormalised": None,  # both are usual, so that a row has to say
    "scaled": 1.0,
    "groups": 1,
    "chosen_groups": 1,
    "shared_experts": 0,
    "sparse_step": 1,
    "dense_layers": "some",
    "gate": "topk",
    "mamba_inner_norms": False,
    "router_dtype": "float32",
    "attention_bias": False,
    "qkv_bias": False,
    "mlp_bias": False,
    "output_bias": False,
    "projection_bias": False,
    # Of a class without a field for it: its output layer is its own, and a tied embedding is written there too.
    "tied": (False, True),
    "rope": "halves",
    "rotated_share": 1.0,
    "no_rope_every": None,
}
_ROTATED = ("halves", "neighbours")
_NORMED = ("per_head", "per_layer", "weightless")


def _switch(statement: str, on: Any = True, off: Any = False) -> States:
    """Return the meaning of a switch that is on where the statement has one of the values `on`."""
    either = tuple(value if isinstance(value, tuple) else (value,) for value in (on, off))
    return States(statement=statement, words=((True, either[0]), (False, either[1])))


def _words(statement: str, **words: Any) -> States:
    return States(statement=statement, words=tuple((word, (meant,)) for word, meant in words.items()))


_ACTIVATION = _words(
    "activation", silu="silu", swish="silu", gelu_pytorch_tanh="gelu_tanh", gelu_new="gelu_tanh", relu2="relu2",
    swigluoai="swigluoai", situ="situ",
)  # fmt: skip
_SCORES = _words("scores", softmax="softmax", sigmoid="sigmoid", noaux_tc="sigmoid", sqrtsoftplus="sqrtsoftplus")
_NORM = _words("norm", rms="rms", hf_rms="rms", fused="rms", rmsnorm="rms", rms_norm="rms", RMSNorm="rms")
_NUMBER_OF_SHARED = States(statement="shared_experts")
_FLOAT32 = States(
    statement="router_dtype",
    words=(("float32", ("float32",)), ("fp32", ("float32",)), ("torch.float32", ("float32",))),
)
_SCALED = States(statement="scaled", words=((1, (1.0,)), (1.0, (1.0,)), (False, (1.0,))))

STATEMENTS: Mapping[str, States] = {
    **dict.fromkeys(("hidden_act", "hidden_activation", "mlp_hidden_act", "activation_function"), _ACTIVATION),
    "mamba_hidden_act": _words("mamba_activation", silu="silu", swish="silu"),
    "linear_silu": States(statement="linear_activation", words=((True, ("silu",)),)),
    "swiglu_limit": States(statement="swiglu_limit"),
    "swiglu_alpha": States(statement="swiglu_alpha"),
    **dict.fromkeys(("norm_type", "normalization_function", "normalization", "norm_func"), _NORM),
    "mamba_inner_layernorms": _switch("mamba_inner_norms"),
    "use_rmsnorm": States(statement="norm", words=((True, ("rms",)),)),
    **dict.fromkeys(("use_qk_norm", "qk_norm", "qk_layernorm"), _switch("qk_norm", _NORMED, "none")),
    "qk_norm_type": _words("qk_norm", per_head="per_head", per_layer="per_layer"),
    "attention_method": _words("attention", MLA="latent"),
    "use_mla": _switch("attention", "latent", "plain"),
    **dict.fromkeys(
        ("attn_output_gate", "attention_output_gate"), _switch("attention_gate", "elementwise", "none")
    ),
    "gated_attention_proj_granularity_type": _words(
        "attention_gate", head_wise="per_head", element_wise="elementwise"
    ),
    "is_causal": _switch("direction", "causal", "both"),
    # Images see both ways in "vision"; a text never does.
    "use_bidirectional_attention": States(
        statement="direction", words=((False, ("causal",)), ("vision", ("causal",)), (True, ("both",)))
    ),
    **dict.fromkeys(
        (
            "scoring_func", "score_func", "score_function", "moe_router_score_func", "moe_router_score_function",
            "moe_router_activation_func", "router_score_function", "moe_gate_act", "moe_score_func",
        ),
        _SCORES,
    ),
    "topk_method": States(
        statement="selection",
        words=(("noaux_tc", ("biased",)), ("greedy", ("plain",)), ("group_limited_greedy", ("grouped",))),
    ),
    "moe_router_use_sigmoid": _switch("scores", "sigmoid", "softmax"),
    "moe_gate": _words("gate", topk="topk"),
    **dict.fromkeys(
        ("use_routing_bias", "use_expert_bias", "moe_router_enable_expert_bias", "moe_use_aux_free"),
        _switch("selection", "biased", ("plain", "grouped")),
    ),
    **dict.fromkeys(("norm_topk_prob", "moe_renormalize", "route_norm"), _switch("renormalised")),
    "moe_normalize_expert_weights": States(
        statement="renormalised", words=((1, (True,)), (1.0, (True,)), (False, (False,)))
    ),
    **dict.fromkeys(
        (
            "routed_scaling_factor", "router_scaling_factor", "moe_router_scaling_factor", "route_scale",
            "moe_routed_scaling_factor", "moe_router_topk_scaling_factor",
        ),
        _SCALED,
    ),
    **dict.fromkeys(("n_group", "num_expert_group", "num_expert_groups"), States(statement="groups")),
    **dict.fromkeys(("topk_group", "num_limited_groups"), States(statement="chosen_groups")),
    "group_limited_greedy": States(statement="groups", words=((False, (1,)),)),
    **dict.fromkeys(
        (
            "n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts",
            "shared_expert_intermediate_size", "shared_intermediate_size",
        ),
        _NUMBER_OF_SHARED,
    ),
    "use_mixed_mlp_moe": States(statement="shared_experts", words=((False, (0,)),)),
    **dict.fromkeys(
        ("decoder_sparse_step", "moe_layer_freq", "moe_layer_interval"), States(statement="sparse_step")
    ),
    **dict.fromkeys(("router_dtype", "moe_router_dtype"), _FLOAT32),
    **dict.fromkeys(("attention_bias", "attn_bias"), _switch("attention_bias")),
    **dict.fromkeys(("qkv_bias", "use_qkv_bias", "add_qkv_bias"), _switch("qkv_bias")),
    "mlp_bias": _switch("mlp_bias"),
    "lm_head_bias": _switch("output_bias"),
    "use_bias": _switch("projection_bias"),
    **dict.fromkeys(("tie_word_embeddings", "tie_embedding"), _switch("tied")),
    **dict.fromkeys(
        ("rope_interleave", "rope_interleaved", "rope_traditional"), _switch("rope", "neighbours", "halves")
    ),
    **dict.fromkeys(("use_rotary_pos_emb", "use_rope"), _switch("rope", _ROTATED, "none")),
    "mla_use_nope": _switch("rope", "none", _ROTATED),
    "position_embedding_type": States(statement="rope", words=(("rope", _ROTATED), ("nope", ("none",)))),
    **dict.fromkeys(("partial_rotary_factor", "rotary_pct"), States(statement="rotated_share")),
    "no_rope_layer_interval": States(statement="no_rope_every"),
}  # fmt: skip
