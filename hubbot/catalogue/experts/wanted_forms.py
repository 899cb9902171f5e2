"""Which forms of experts other programs take, by model type: what `relayout --to` is for.

Tried with transformers 5, mlx-lm 0.32.2 and mlx-vlm 0.7.10, VeOmni by its published merge script. What is not
listed was not tried or has no class there; what hubbot itself converts stands in families/.
"""

from collections.abc import Iterator, Mapping

from hubbot.catalogue.experts.expert_layouts import spelled

TRANSFORMERS, VEOMNI, MLX_LM, MLX_VLM = "transformers 5", "VeOmni", "mlx-lm", "mlx-vlm"
PROGRAMS = (TRANSFORMERS, VEOMNI, MLX_LM, MLX_VLM)
# Keys of the layout catalogue by program.
Wanted = Mapping[str, tuple[str, ...]]
WANTED: Mapping[str, Wanted] = {
    "qwen3_moe": {
        TRANSFORMERS: ("per_expert", "stacked_fused"),
        VEOMNI: ("stacked",),
        MLX_LM: ("per_expert",),
    },
    "qwen3_5_moe": {
        TRANSFORMERS: ("per_expert", "stacked_fused"),
        VEOMNI: ("stacked",),
        MLX_LM: ("per_expert", "stacked_fused"),
        MLX_VLM: ("per_expert", "stacked_fused"),
    },
    "qwen3_vl_moe": {
        TRANSFORMERS: ("stacked_fused_transposed", "stacked_fused"),
        VEOMNI: ("stacked",),
        MLX_LM: ("stacked_fused_transposed",),
        MLX_VLM: ("stacked_fused_transposed",),
    },
    "hunyuan_v1_moe": {TRANSFORMERS: ("per_expert", "stacked_fused")},
    # mlx-lm's class loads both and computes otherwise: `hubbot convert` publishes a class of its own.
    "hunyuan": {MLX_LM: ("per_expert", "mlx_switch")},
}


def forms(model_type: str, program: str) -> str:
    """Return the forms that a program takes of a model type, as the command line spells them, or "none"."""
    return ", ".join(map(spelled, WANTED[model_type].get(program, ()))) or "none"


def lines() -> Iterator[str]:
    """Yield the table in columns: model type, program, forms; what a program takes none of is left out."""
    for model_type, wanted in WANTED.items():
        for program in wanted:
            yield f"{model_type:<16}{program:<16}{forms(model_type, program)}"
