"""Which forms of experts other programs take, by model type: what `relayout --to` is for.

Tried with transformers 5, mlx-lm 0.32.2 and mlx-vlm 0.7.10, VeOmni by its published merge script; it stands in the
rows of families/. What is not listed was not tried or has no class there.
"""

from collections.abc import Iterator, Mapping

from hubbot.catalogue.experts.expert_layouts import spelled
from hubbot.catalogue.families import FAMILIES

TRANSFORMERS, VEOMNI, MLX_LM, MLX_VLM = "transformers 5", "VeOmni", "mlx-lm", "mlx-vlm"
PROGRAMS = (TRANSFORMERS, VEOMNI, MLX_LM, MLX_VLM)
# Keys of the layout catalogue by program.
Wanted = Mapping[str, tuple[str, ...]]
WANTED: Mapping[str, Wanted] = {row.model_type: row.taken_by for row in FAMILIES if row.taken_by}


def forms(model_type: str, program: str) -> str:
    """Return the forms that a program takes of a model type, as the command line spells them, or "none"."""
    return ", ".join(map(spelled, WANTED[model_type].get(program, ()))) or "none"


def takers(model_type: str, key: str) -> tuple[str, ...]:
    """Return the programs that take layout `key` of a model type, as far as that was tried."""
    return tuple(program for program, keys in WANTED.get(model_type, {}).items() if key in keys)


def lines() -> Iterator[str]:
    """Yield the table in columns: model type, program, forms; what a program takes none of is left out."""
    for model_type, wanted in WANTED.items():
        for program in wanted:
            yield f"{model_type:<16}{program:<16}{forms(model_type, program)}"
