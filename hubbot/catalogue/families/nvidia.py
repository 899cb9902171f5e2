"""NVIDIA: Nemotron-H, whose layers are Mamba, attention or experts without a gate.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs.derivations import Derived
from hubbot.catalogue.families.defaults import COMMON, GROUPED
from hubbot.catalogue.families.provenances import GATELESS, GATELESS_STACKED
from hubbot.catalogue.families.row import Family, Recognised
from hubbot.catalogue.reshapes import CONVOLUTION, GROUPED_BIAS

_BLOCKS: Mapping[str, str] = {
    "full_attention": "*", "attention": "*", "linear_attention": "M", "mamba": "M", "moe": "E", "mlp": "-",
}  # fmt: skip


def _block_pattern(config: Mapping[str, Any]) -> Derived | None:
    """Nemotron-H's layers as one character each: M, E, * or -."""
    for key in ("layers_block_type", "layer_types"):
        kinds = config.get(key)
        if isinstance(kinds, list) and all(kind in _BLOCKS for kind in kinds):
            return Derived(value="".join(_BLOCKS[kind] for kind in kinds), keys=(key, "num_hidden_layers"))
    pattern = config.get("hybrid_override_pattern")
    text = "".join(pattern) if isinstance(pattern, list) else pattern
    if isinstance(text, str) and set(text) <= set(_BLOCKS.values()):
        return Derived(value=text, keys=("hybrid_override_pattern", "num_hidden_layers"))
    return None


def _block_count(config: Mapping[str, Any]) -> Derived | None:
    """How many layers Nemotron-H's pattern has."""
    pattern = _block_pattern(config)
    return pattern and Derived(value=len(pattern.value), keys=pattern.keys)


def _clamped_time_steps(config: Mapping[str, Any]) -> Derived | None:
    """The bounds of Nemotron-H's time steps: transformers clamps at time_step_min, mlx-lm at time_step_limit."""
    least = config.get("time_step_min", 0.001)
    keys = ("time_step_min", "time_step_limit", "time_step_max", "time_step_floor")
    return Derived(value=[least, {"__float__": "Infinity"}], keys=keys)


FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="nemotron_h",
        runtime="nemotron_h",
        blocks=("mixer",),
        runtime_block="mixer",
        renormalises_one_expert=False,
        layouts={"gateless": GATELESS, "stacked_gateless": GATELESS_STACKED},
        expert_names={"up": "fc1", "down": "fc2"},
        always={
            "activation": "relu2",
            "rope": "none",
            "recurrent": "mamba",
            "scores": "sigmoid",
            "selection": "biased",
            "tied": False,  # transformers ties nothing here whatever the config says (_tied_weights_keys is empty)
        },
        defaults={
            **COMMON,
            **GROUPED,
            "norm_topk_prob": True,
            "routed_scaling_factor": 1.0,
            "layer_norm_epsilon": 1e-5,
            "use_bias": False,
            "use_conv_bias": True,
            "mamba_proj_bias": False,
            "n_shared_experts": 1,
            "moe_latent_size": None,
            "time_step_min": 0.001,
            "time_step_max": 0.1,
            "conv_kernel": 4,
            "head_dim": 128,
            "n_groups": 8,
            "num_experts_per_tok": 2,
            "num_key_value_heads": 8,
            "ssm_state_size": 128,
        },
        derived={
            "hybrid_override_pattern": _block_pattern,
            "num_hidden_layers": _block_count,
            # The class clamps at this alone; in transformers time_step_min is the lower bound (parity, item 4).
            "time_step_limit": _clamped_time_steps,
        },
        fixed={
            "layers_block_type": (None, "spelled out in hybrid_override_pattern"),
            "layer_types": (None, "spelled out in hybrid_override_pattern"),
        },
        renames=((r"^model\.", "backbone."),),
        reshapes=(CONVOLUTION, GROUPED_BIAS),
        module_names=(("backbone", "model"),),
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(
        model_type="nemo_speechlm",
        layouts={},
        reason="experts are stacked as gate_and_up_projs, transposed, which no row reads",
    ),
)
