"""The table of forms: true to the catalogue, and the README's."""

from pathlib import Path

import pytest

from hubbot.catalogue.experts.expert_layouts import TARGETS
from hubbot.catalogue.experts.wanted_forms import MLX_LM, PROGRAMS, WANTED, forms, lines
from hubbot.catalogue.families import BY_MODEL_TYPE

README = Path(__file__).parents[3] / "README.md"


@pytest.mark.parametrize("model_type", WANTED)
def test_relayout_makes_every_form_and_convert_reads_what_mlx_lm_takes(model_type: str) -> None:
    wanted = WANTED[model_type]
    assert set(wanted) <= set(PROGRAMS)
    assert all(keys and set(keys) <= set(TARGETS) for keys in wanted.values())
    assert set(wanted.get(MLX_LM, ())) <= set(BY_MODEL_TYPE[model_type].layouts)


def test_the_readme_has_the_same_table() -> None:
    text = README.read_text("utf-8")
    assert f"| model type | {' | '.join(PROGRAMS)} |" in text
    for model_type in WANTED:
        assert f"| `{model_type}` | {' | '.join(forms(model_type, program) for program in PROGRAMS)} |" in text


def test_every_line_fits_a_narrow_terminal() -> None:
    assert all(len(line) < 78 for line in lines())
    assert len([*lines()]) == sum(map(len, WANTED.values()))
