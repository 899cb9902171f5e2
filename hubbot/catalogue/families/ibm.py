"""IBM: Granite MoE, with shared experts, and mixed with Mamba layers.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from hubbot.catalogue.configs.derivations import Derived, every_layer, listed
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import GRANITE, MAPPED, MLX
from hubbot.catalogue.families.row import Extension, Family, Recognised, Under
from hubbot.catalogue.reshapes import CONVOLUTION

_INFINITE = [0.0, {"__float__": "Infinity"}]
_KINDS: Mapping[str, str] = {
    "linear_attention": "mamba", "mamba": "mamba", "full_attention": "attention", "attention": "attention",
}  # fmt: skip
_DEFAULTS: Mapping[str, Any] = {
    **COMMON,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "logits_scaling": 1.0,
    "attention_multiplier": 1.0,
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
}
_LAYOUTS = {"granite_fused": GRANITE, "stacked_fused": GRANITE, "mlx_switch": MLX}


def _mamba_head_width(config: Mapping[str, Any]) -> Derived | None:
    """Granite's mamba_d_head, which may be "auto"."""
    width, keys = config.get("mamba_d_head"), ("mamba_d_head", "mamba_expand")
    if isinstance(width, int):
        return Derived(value=width, keys=keys)
    hidden, expand, heads = (config.get(key) for key in ("hidden_size", "mamba_expand", "mamba_n_heads"))
    if width != "auto" or not isinstance(hidden, int) or not isinstance(expand, int) or not heads:
        return None
    return Derived(value=expand * hidden // heads, keys=keys)


def _has_groups(config: Mapping[str, Any], _names: Collection[str]) -> bool:
    return config.get("mamba_n_groups") not in (None, 1)


_HYBRID = Family(
    model_type="granitemoehybrid",
    runtime="granitemoehybrid",
    blocks=("block_sparse_moe", "mlp"),
    runtime_block="block_sparse_moe",
    renormalises_one_expert=True,
    layouts=_LAYOUTS,
    always={"renormalised": True, "recurrent": "mamba"},
    defaults={
        **_DEFAULTS,
        "time_step_limit": _INFINITE,
        "position_embedding_type": "nope",
        "mamba_conv_bias": True,
        "mamba_d_conv": 4,
        "mamba_d_state": 256,
        "mamba_n_groups": 1,
        "mamba_n_heads": 128,
        "mamba_proj_bias": False,
        "num_experts_per_tok": 2,
    },
    derived={"layer_types": listed("layer_types", _KINDS), "mamba_d_head": _mamba_head_width},
    renames=((r"\.router\.weight$", ".router.layer.weight"),),
    reshapes=(CONVOLUTION,),
    module_names=(("block_sparse_moe.router.layer", "block_sparse_moe.router"),),
)
# A norm for each group of heads, where mlx-lm's class has one for all of them.
_GROUPED = replace(
    _HYBRID,
    layouts={key: row for key, row in _LAYOUTS.items() if key != "mlx_switch"},
    renames=(*_HYBRID.renames, (r"\.mamba\.norm\.weight$", ".mamba.group_norm.weight")),
    extension=Extension(
        file="granitemoehybrid.py",
        reason="mlx-lm's granitemoehybrid class norms all groups of a Mamba layer together, where Granite norms "
        "each by itself; it is no longer needed once mlx-lm's class norms by group",
    ),
)
FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="granitemoe",
        runtime="granitemoe",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        renormalises_one_expert=True,
        layouts=_LAYOUTS,
        always={"renormalised": True},
        defaults={
            **_DEFAULTS,
            "num_key_value_heads": 32,
            "num_experts_per_tok": 2,
        },
        renames=((r"\.router\.weight$", ".router.layer.weight"),),
        module_names=(("block_sparse_moe.router.layer", "block_sparse_moe.router"),),
    ),
    Family(
        model_type="granitemoeshared",
        runtime="granitemoehybrid",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        renormalises_one_expert=True,
        layouts=_LAYOUTS,
        always={"renormalised": True},
        defaults={
            **_DEFAULTS,
            "time_step_limit": _INFINITE,
            **dict.fromkeys(
                (
                    "mamba_n_heads",
                    "mamba_d_head",
                    "mamba_proj_bias",
                    "mamba_d_state",
                    "mamba_d_conv",
                    "mamba_n_groups",
                    "mamba_conv_bias",
                )
            ),
            "position_embedding_type": "rope",
            "num_experts_per_tok": 2,
        },
        derived={"layer_types": every_layer("attention")},
        renames=((r"\.router\.weight$", ".router.layer.weight"),),
        module_names=(("block_sparse_moe.router.layer", "block_sparse_moe.router"),),
    ),
    replace(_HYBRID, under=(Under(where="with several groups", when=_has_groups, row=_GROUPED),)),
)
RECOGNISED: tuple[Recognised, ...] = (Recognised(model_type="granitemoe_swa", layouts={"stacked_fused": MAPPED}),)
