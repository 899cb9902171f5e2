"""JD: JoyAI-LLM-Flash on the class of DeepSeek-V3.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.defaults import COMMON, LATENT
from hubbot.catalogue.families.provenances import MLX, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Family
from hubbot.catalogue.reshapes import GROUPED_BIAS, LATENT_HEADS

FAMILIES: tuple[Family, ...] = (
    # mlx-lm loads it as DeepSeek-V3 (MODEL_REMAPPING); every width is asked for, as no class is its own.
    Family(
        model_type="joyai_llm_flash",
        runtime="deepseek_v3",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"attention": "latent", "scores": "sigmoid", "selection": "biased", "rope": "neighbours"},
        defaults={**COMMON, **LATENT, "n_group": 8, "topk_group": 4},
        reshapes=(LATENT_HEADS, GROUPED_BIAS),
        transformers_type="deepseek_v3",
    ),
)
