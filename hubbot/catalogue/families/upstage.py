"""Upstage: Solar Open.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.families.defaults import COMMON, GROUPED
from hubbot.catalogue.families.provenances import MLX, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Extension, Family, Under
from hubbot.catalogue.reshapes import GROUPED_BIAS


def _is_scaled(config: Mapping[str, Any], _names: Collection[str]) -> bool:
    return ropes.kind_of(ropes.flat(config)) != "default"


_SOLAR = Family(
    model_type="solar_open",
    runtime="solar_open",
    blocks=("mlp",),
    runtime_block="mlp",
    renormalises_one_expert=False,
    layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
    always={"scores": "sigmoid", "selection": "biased"},
    defaults={
        **COMMON,
        **GROUPED,
        "use_qk_norm": False,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000.0,
        "partial_rotary_factor": 1.0,
        "first_k_dense_replace": 0,
        "norm_topk_prob": True,
        "routed_scaling_factor": 1.0,
        "head_dim": 128,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "num_key_value_heads": 8,
    },
    reshapes=(GROUPED_BIAS,),
)
# Solar Open 100B extends its context by yarn.
_SCALED = replace(
    _SOLAR,
    layouts={key: row for key, row in _SOLAR.layouts.items() if key != "mlx_switch"},
    rope_kinds=frozenset({"default", "yarn"}),
    renames=((r"\.mlp\.gate\.(weight|e_score_correction_bias)$", r".mlp.router.\1"),),
    reshapes=(),
    renormalises_one_expert=True,
    extension=Extension(
        file="solar_open.py",
        reason="mlx-lm's solar_open class, that of GLM-4.5, rotates without the yarn that this model's config "
        "asks for; it is no longer needed once mlx-lm's class reads rope_scaling",
    ),
)
FAMILIES: tuple[Family, ...] = (
    replace(_SOLAR, under=(Under(where="with a scaled rope", when=_is_scaled, row=_SCALED),)),
)
