"""rednote (hilab): dots.llm1.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import MAPPED, PART, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family, Recognised
from hubbot.catalogue.reshapes import GROUPED_BIAS

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="dots1",
        runtime="dots1",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED},
        always={"scores": "sigmoid", "selection": "biased", "qk_norm": "per_head"},
        defaults={
            **COMMON,
            "norm_topk_prob": False,
            "scoring_func": "noaux_tc",
            "routed_scaling_factor": 1.0,
            "n_group": 1,
            "topk_group": 1,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "first_k_dense_replace": 0,
            "num_key_value_heads": 32,
        },
        derived_head_dim=True,
        reshapes=(GROUPED_BIAS,),
        expert_module="experts",
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(
        model_type="dots3_note_vision_encoder", layouts={"per_expert_fc": MAPPED}, reason=PART, waits=False
    ),
    Recognised(model_type="dots3_note", layouts={"stacked_fused": MAPPED}),
    Recognised(model_type="dots3_note_text", layouts={}, reason=PART, waits=False),
)
