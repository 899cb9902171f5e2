"""Keys that no row of the table knows: the source of transformers' own class decides, or nothing does."""

from typing import Any

import pytest

from hubbot.catalogue.configs.source_readers import readers
from hubbot.catalogue.families import BY_MODEL_TYPE, FAMILIES, Family
from tests.catalogue.configs.resolving import config_of, resolve
from tests.checkpoints_on_disk import CONVERTIBLE
from tests.reference.checkpoints import case


@pytest.mark.parametrize("value", [3, "deep", {"a": 1}, True, [1, 2]])
def test_what_neither_class_reads_has_no_effect_and_is_recorded(value: Any) -> None:
    resolved = resolve(case("qwen3_moe/hub").config | {"quantum_flux": value})
    assert resolved.problems == ()
    assert any(f"quantum_flux = {value!r}" in note for note in resolved.notes)


def test_what_transformers_reads_and_mlx_lm_does_not_is_refused_by_name() -> None:
    config = config_of(BY_MODEL_TYPE["laguna"])
    problems = resolve(config | {"moe_router_logit_softcapping": 30.0}).problems
    assert problems == ()  # mlx-lm's class reads it, so that it is no question here
    config = case("nemotron_h/orig").config
    problems = resolve(config | {"mamba_dt_min": 0.5}).problems
    assert any("mamba_dt_min = 0.5" in problem and "transformers" in problem for problem in problems)


def test_without_a_class_in_transformers_an_unknown_key_is_refused_and_the_message_says_the_way_out() -> None:
    assert readers("hunyuan") is None
    (problem,) = resolve(case("hunyuan/orig").config | {"quantum_flux": False}).problems
    assert "quantum_flux = False" in problem
    assert "a row in hubbot/catalogue/configs would teach it" in problem


def test_what_the_table_knows_as_acting_wins_over_silence() -> None:
    config = config_of(BY_MODEL_TYPE["laguna"])
    per_head = ["per_head"] * config["num_hidden_layers"]
    sources = readers("laguna")
    assert sources is not None
    assert "gating_types" not in sources.names
    assert resolve(config | {"gating_types": per_head}).problems == ()
    (problem,) = resolve(config | {"gating_types": [*per_head[1:], "per_element"]}).problems
    assert "gating_types = " in problem


@pytest.mark.parametrize(
    ("name", "key"), [("gpt_oss/orig", "swiglu_limit"), ("nemotron_h/orig", "mlp_hidden_act")]
)
def test_null_is_refused_where_transformers_would_compute_by_another_value(name: str, key: str) -> None:
    problems = resolve(case(name).config | {key: None}).problems
    assert any(f"{key} = None" in problem for problem in problems)


def test_keys_of_somebody_elses_file_are_bounded_and_printable() -> None:
    many = {f"nobody_reads_{number}": number for number in range(5000)} | {"\x1b[2J" + "y" * 5000: 1}
    resolved = resolve(case("qwen3_moe/hub").config | many)
    assert resolved.problems == ()
    assert all(len(note) < 5000 and note.isprintable() for note in resolved.notes)
    assert any("and 4971 more" in note for note in resolved.notes)
    (problem,) = resolve(case("hunyuan/orig").config | {"\x1b[2J" + "y" * 5000: 1}).problems
    assert problem.isprintable()
    assert len(problem) < 500


def test_a_long_value_is_cut_in_the_sentence() -> None:
    (problem,) = resolve(case("qwen3_moe/hub").config | {"clip_qkv": "x" * 5000}).problems
    assert len(problem) < 500


@pytest.mark.parametrize("made", CONVERTIBLE, ids=lambda made: made.name)
def test_every_reference_says_nothing_that_the_table_or_the_sources_hold_against_it(made: Any) -> None:
    # The numbers agree with transformers' (tests/steps), so that every key it holds is proven neutral or read.
    assert resolve(made.config).problems == ()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_no_family_lists_keys_of_its_own(family: Family) -> None:
    assert not hasattr(family, "inert")
    assert not hasattr(family, "neutral")
