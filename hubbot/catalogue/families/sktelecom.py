"""SK Telecom: A.X K1, on a model class of hubbot's own.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from hubbot.catalogue.families.defaults import COMMON, LATENT
from hubbot.catalogue.families.provenances import MAPPED, MAPPED_GATE_FIRST, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Extension, Family, Recognised, Under
from hubbot.catalogue.reshapes import LATENT_HEADS


def _has_no_biases(_config: Mapping[str, Any], names: Collection[str]) -> bool:
    return bool(names) and not any(name.endswith(".e_score_correction_bias") for name in names)


_BIASED = Family(
    model_type="axk1",
    runtime="axk1",
    extension=Extension(
        file="axk1.py",
        reason="mlx-lm has no class for this model, DeepSeek-V3 with one more norm; it is no longer needed once "
        "mlx-lm has an axk1",
    ),
    blocks=("mlp",),
    runtime_block="mlp",
    renormalises_one_expert=True,
    layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED},
    always={
        "attention": "latent",
        "scores": "sigmoid",
        "selection": "biased",
        "rope": "neighbours",
    },
    defaults={
        **COMMON,
        **{key: value for key, value in LATENT.items() if key != "moe_layer_freq"},
        "n_group": 8,
        "topk_group": 4,
        "rms_norm_eps": 1e-6,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 512,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "routed_scaling_factor": 2.5,
        "v_head_dim": 128,
    },
    fixed={"has_correction_bias": (True, "the checkpoint has correction biases of the router")},
    renames=((r"(\.layers\.\d+)\.post_mlp_layernorm\.", r"\1.mlp.post_mlp_layernorm."),),
    reshapes=(LATENT_HEADS,),
    module_names=(("post_mlp_layernorm", "mlp.post_mlp_layernorm"),),
)
_UNBIASED = replace(
    _BIASED, fixed={"has_correction_bias": (False, "the checkpoint has no correction biases: routed without")}
)

FAMILIES: tuple[Family, ...] = (
    replace(_BIASED, under=(Under(where="without correction biases", when=_has_no_biases, row=_UNBIASED),)),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="axk2", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
)
