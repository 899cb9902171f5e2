"""How transformers 5 keeps a model type's experts: the order of gate and up, and names that differ on the Hub.

Source: transformers 5.23, conversion_mapping and the experts' modules; the committed references prove it. What
stands here needs no runtime. It never looks at shapes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hubbot.catalogue.experts.expert_layouts import BY_KEY
from hubbot.catalogue.families import BY_MODEL_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """One model type: `row` of the layout catalogue is that of its experts on the Hub where each has a tensor.

    `order` says how gate and up share a tensor (None: there is no gate). `pairs` are fragments of names on the
    Hub and what transformers' modules say instead; the first that fits counts.
    """

    row: str | None
    order: str | None
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def is_gated(self) -> bool:
        """Say whether the experts have a gate."""
        return self.order is not None


_SAME = Naming(row="per_expert", order="concatenated")
_GRANITE = Naming(
    row=None,
    order="concatenated",
    pairs=(("block_sparse_moe.router.layer", "block_sparse_moe.router"),),
)
_STACKED = Naming(row=None, order="concatenated")

NAMINGS: Mapping[str, Naming] = {
    **dict.fromkeys(
        (
            "afmoe", "axk1", "axk2", "beam", "cohere2_moe", "deepseek_ocr2", "deepseek_v2", "deepseek_v3",
            "deepseek_v32", "dots1", "flex_olmo", "flint", "glm4_moe", "glm4_moe_lite", "glm4v_moe", "glm5_next",
            "glm5_next_text", "glm_moe_dsa", "hunyuan_v1_moe", "jamba", "kimi_k2", "kimi_k25",
            "mellum", "olmoe", "qwen2_moe", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_moe", "qwen3_next",
            "qwen3_omni_moe", "qwen3_omni_moe_text", "qwen3_omni_moe_thinker", "qwen4_exp_text", "solar_open",
        ),
        _SAME,
    ),
    **dict.fromkeys(("granitemoe", "granitemoeshared", "granitemoehybrid"), _GRANITE),
    **dict.fromkeys(("gemma4", "gemma4_text", "llama4", "llama4_text", "qwen3_vl_moe"), _STACKED),
    "mixtral": Naming(row="per_expert_w", order="concatenated", pairs=(("block_sparse_moe", "mlp"),)),
    "minimax_m2": Naming(row="per_expert_w", order="concatenated", pairs=(("block_sparse_moe", "mlp"),)),
    "phimoe": Naming(
        row="per_expert_w",
        order="concatenated",
        pairs=(("block_sparse_moe.gate", "mlp.router"), ("block_sparse_moe", "mlp")),
    ),
    "lfm2_moe": Naming(row="per_expert_w", order="concatenated"),
    "kimi_linear": Naming(
        row="per_expert_w",
        order="concatenated",
        # Its dense layers are called mlp on the Hub as well.
        pairs=tuple((f"block_sparse_moe.{part}", f"mlp.{part}") for part in ("experts", "gate", "shared_experts")),
    ),
    "exaone_moe": Naming(
        row="per_expert",
        order="concatenated",
        pairs=(("mlp.e_score_correction_bias", "mlp.gate.e_score_correction_bias"),),
    ),
    "ernie4_5_moe": Naming(
        row="per_expert", order="concatenated", pairs=(("mlp.moe_statics", "mlp.gate.moe_statics"),)
    ),
    "laguna": Naming(
        row="per_expert",
        order="concatenated",
        pairs=(
            ("mlp.experts.e_score_correction_bias", "mlp.gate.e_score_correction_bias"),
            ("mlp.shared_expert", "mlp.shared_experts"),
        ),
    ),
    "mimo_v2_flash": Naming(
        row="per_expert", order="concatenated", pairs=(("self_attn.attention_sink_bias", "self_attn.sinks"),)
    ),
    "nemotron_h": Naming(row="per_expert", order=None, pairs=(("backbone", "model"),)),
    "gpt_oss": Naming(row=None, order="interleaved"),
}  # fmt: skip


def naming_of(model_type: str) -> Naming | None:
    """Return what is known of a model type, here or in the families; None where nothing is."""
    if model_type in NAMINGS:
        return NAMINGS[model_type]
    family = BY_MODEL_TYPE.get(model_type)
    if family is None:
        return None
    order = next(
        (
            family.layouts[key].order
            for key in ("stacked_fused", "stacked_fused_transposed", "granite_fused")
            if key in family.layouts
        ),
        None,
    )
    return Naming(
        row=next((key for key in ("per_expert", "per_expert_w") if key in family.layouts), None), order=order
    )


def order_in(model_type: str, part: str) -> str | None:
    """Return how gate and up share a tensor called `part` in checkpoints of a model type, if that is known."""
    family = BY_MODEL_TYPE.get(model_type)
    for key, known in family.layouts.items() if family else ():
        if BY_KEY[key].parts.get("gate_up") == part:
            return known.order
    naming = NAMINGS.get(model_type)
    return (
        naming.order
        if naming and any(BY_KEY[key].parts["gate_up"] == part for key in ("stacked_fused", "granite_fused"))
        else None
    )


def renamed(naming: Naming | None, name: str, *, on_hub: bool) -> str:
    """Return what the Hub, or else transformers' modules, call a tensor; its bytes are the same."""
    dotted = f".{name}."
    for hub, module in naming.pairs if naming else ():
        old, new = (f".{module}.", f".{hub}.") if on_hub else (f".{hub}.", f".{module}.")
        if old in dotted:
            return dotted.replace(old, new, 1)[1:-1]
    return name
