"""What a row of the tables of reference models says, and the config values that many rows share.

It never imports torch. Values avoid every class default under which a fault would hide (rope_theta,
multipliers, scaling).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Expected = Literal["convert", "refuse"]
# config.json as transformers writes it -> the vendor's.
Vendor = Callable[[dict[str, Any]], dict[str, Any]]
# The shape of every parameter -> the view that each tensor on disk is (checkpoints.py).
Layout = Callable[[Mapping[str, list[int]]], dict[str, Any]]

LAYOUT_FORMS = ("orig", "v5", "hub")
ALL_FORMS = ("orig", "v5", "hub", "bf16", "sharded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One in-memory model: config values changed from or omitted of the base, and the forms to record.

    `router_bias` are mean and scale of the router's correction biases. `tolerance` is the relative error that
    a conversion is allowed, larger only where a remark says what mlx-lm computes otherwise. With `decodes` greedy
    steps with the cache are recorded, as they are of every base model. `built_as`, `names` and `vendor` stand in
    place of the family's. `layout` cuts the vendor's tensors from the parameters of a class that saves them in
    another form.
    """

    name: str
    built_as: str | None = None
    names: tuple[tuple[str, str], ...] | None = None
    vendor: Vendor | None = None
    layout: Layout | None = None
    forms: tuple[str, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()
    router_bias: tuple[float, float] = (0.0, 0.2)
    tolerance: float = 1e-4
    decodes: bool = False
    expected: Expected = "convert"
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model_type: base config, its transformers-4 dialect, and its models.

    `renamed` maps transformers-5 config keys to their old names, `added` are keys only the old configs hold,
    `dropped` keys that they do not hold, `replaced` values that they spell otherwise, `rope_kind` their key for
    the kind of rope_scaling; `keeps_rope_parameters` says that rope never had another spelling; `unread` names
    what transformers 5 does not read in the old config. `matters`: changing any one of these values must
    change the logits. `built_as` is the model type of the class that transformers builds, where it knows no
    such model type.

    `names` are (pattern, replacement) for what the Hub calls tensors that transformers saves under other names;
    an empty name leaves the tensor out. The form `saved` keeps those of transformers. `vendor` makes of what
    transformers writes the config.json of the vendor's own code, where no class of transformers reads that.
    """

    model_type: str
    built_as: str | None = None
    auto_class: str = "AutoModelForCausalLM"
    config: Mapping[str, Any]
    models: tuple[Model, ...]
    matters: Mapping[str, Any]
    renamed: Mapping[str, str] = field(default_factory=dict)
    added: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    replaced: Mapping[str, Any] = field(default_factory=dict)
    keeps_rope_parameters: bool = False
    names: tuple[tuple[str, str], ...] = ()
    vendor: Vendor | None = None
    unread: tuple[str, ...] = ()
    rope_kind: str = "rope_type"
    expected: Expected = "convert"
    remarks: tuple[str, ...] = ()


def rope(**extra: Any) -> dict[str, Any]:
    """Rotary settings away from every class default."""
    return {"rope_type": "default", "rope_theta": 51234.0, **extra}


DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}

# Hidden size 128 and heads of 32: every projection dimension of the base models is a multiple of 64.
COMMON: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "rope_parameters": rope(),
}

# What the DeepSeek-V3 kind of router reads; one dense layer first.
SIGMOID_ROUTER: dict[str, Any] = {
    "num_hidden_layers": 3,
    "intermediate_size": 320,
    "moe_intermediate_size": 64,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 3,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 1.75,
    "norm_topk_prob": True,
    "n_group": 1,
    "topk_group": 1,
}

# Scalings of rope, each in a context longer than the one it was trained in.
YARN_ROPE: dict[str, Any] = {
    "max_position_embeddings": 2048,
    "rope_parameters": {
        "rope_type": "yarn",
        "rope_theta": 51234.0,
        "factor": 32.0,
        "original_max_position_embeddings": 64,
    },
}
LLAMA3_ROPE: dict[str, Any] = {
    "max_position_embeddings": 2048,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 51234.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
}
LINEAR_ROPE: dict[str, Any] = {
    "rope_parameters": {"rope_type": "linear", "rope_theta": 51234.0, "factor": 4.0},
}
# With these the biased scores of half the experts are negative, which a mask of 0 gets wrong.
NEGATIVE = (-0.6, 0.2)

GROUPS = Model(
    name="groups",
    forms=("orig", "hub"),
    changes={"n_group": 4, "topk_group": 2},
    router_bias=NEGATIVE,
    remarks=("group-limited routing; most biased scores are negative",),
)
TIED = Model(name="tied", forms=("orig", "hub"), changes={"tie_word_embeddings": True})

YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 51234.0,
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": True,
    "original_max_position_embeddings": 64,
}
# Two heads whose parts are all 64 wide: every projection dimension is a multiple of 64.
LATENT: dict[str, Any] = {
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "q_lora_rank": 64,
    "kv_lora_rank": 64,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 64,
    "v_head_dim": 64,
}
# Enough index heads that no score is exactly zero, and fewer positions kept than there are tokens.
INDEXED: dict[str, Any] = {"index_n_heads": 32, "index_head_dim": 128, "index_topk": 16}
SIGMOID_CHOICE: dict[str, Any] = {"scoring_func": "sigmoid", "topk_method": "noaux_tc", "moe_layer_freq": 1}
DECIDED: dict[str, Any] = {
    "rope_parameters": DEFAULT_ROPE,
    "norm_topk_prob": False,
    "routed_scaling_factor": 1.0,
}
MIXED: dict[str, Any] = {
    "num_hidden_layers": 3,
    "head_dim": 32,
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
EXPERTS: dict[str, Any] = {
    "intermediate_size": 320,
    "moe_intermediate_size": 64,
    "num_experts": 6,
    "num_experts_per_tok": 2,
}
EPSILON = Model(
    name="epsilon",
    forms=("orig",),
    changes={"rms_norm_eps": 0.02},
    remarks=("transformers norms the latents with 1e-6 all the same, mlx-lm as the config says",),
)
TEXT: dict[str, Any] = {key: value for key, value in COMMON.items() if key != "tie_word_embeddings"}
