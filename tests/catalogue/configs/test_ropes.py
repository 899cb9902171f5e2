import math
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.rope_utils import initialize_rope

from hubbot.catalogue.configs import ropes

YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 150000.0,
    "factor": 32.0,
    "original_max_position_embeddings": 4096,
}


def problems(**parameters: Any) -> list[str]:
    return list(ropes.problems("rope", parameters, frozenset(), ropes.READ))


@pytest.mark.parametrize(
    "parameters",
    [
        {"rope_type": "default", "rope_theta": 1e4},
        {"rope_type": "default", "partial_rotary_factor": 1.0},
        {"type": "mrope", "mrope_section": [1, 2, 1]},
        {"rope_type": "linear", "factor": 2.0},
        {**YARN, "beta_fast": 32, "beta_slow": 1, "truncate": True},
        {**YARN, "attention_factor": 0.1 * math.log(32.0) + 1.0},
        {**YARN, "attention_factor": None},
    ],
)
def test_what_mlx_lm_reads_or_works_out_by_itself_is_no_problem(parameters: dict[str, Any]) -> None:
    assert problems(**parameters) == []


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({**YARN, "attention_factor": 1.5}, "attention_factor = 1.5"),
        ({**YARN, "truncate": False}, "truncate = False"),
        ({"rope_type": "longrope", "short_factor": [1.0]}, "'longrope'"),
        ({"rope_type": "dynamic", "factor": 2.0}, "'dynamic'"),
        ({"rope_type": "default", "partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5"),
        ({"rope_type": "linear", "factor": 2.0, "beta_fast": 3}, "beta_fast = 3"),
        ({"rope_type": "linear"}, "factor = None"),
        ({"rope_type": "yarn", "factor": 2.0}, "original_max_position_embeddings = None"),
        ({**YARN, "factor": None}, "factor = None"),
        ({**YARN, "mscale_all_dim": 1.0}, "mscale_all_dim = 1.0"),
    ],
)
def test_a_setting_that_mlx_lms_rope_ignores_is_a_problem_by_name(parameters: dict[str, Any], told: str) -> None:
    assert any(told in problem for problem in problems(**parameters))


def test_a_kind_that_the_class_does_not_know_is_a_problem_by_name() -> None:
    found = list(ropes.problems("rope", {"rope_type": "linear", "factor": 2.0}, frozenset(), ("yarn",)))
    assert found == ["the config says rope.rope_type = 'linear', which mlx-lm's class does not compute"]


@pytest.mark.parametrize("factors", [{"mscale": 0.7}, {"mscale": 0.7, "mscale_all_dim": 0}, {}])
def test_one_of_yarns_two_factors_alone_is_left_out_as_transformers_passes_over_it(factors: Any) -> None:
    scaling, _ = ropes.scaling({"rope_parameters": {**YARN, **factors}})
    assert scaling is not None
    assert not {"mscale", "mscale_all_dim"} & scaling.keys()


def test_both_of_yarns_factors_are_kept() -> None:
    scaling, _ = ropes.scaling({"rope_scaling": {**YARN, "mscale": 0.7, "mscale_all_dim": 1.0}})
    assert scaling is not None
    assert (scaling["mscale"], scaling["mscale_all_dim"]) == (0.7, 1.0)


@pytest.mark.parametrize("kind", ["yarn", "llama3"])
def test_the_context_that_a_scaling_leaves_out_is_the_whole_one_as_in_transformers(kind: str) -> None:
    scaling, _ = ropes.scaling(
        {"rope_scaling": {"rope_type": kind, "factor": 4.0}, "max_position_embeddings": 512}
    )
    assert scaling is not None
    assert scaling["original_max_position_embeddings"] == 512


def test_two_dialects_that_do_not_say_the_same_are_a_problem() -> None:
    config = {"rope_parameters": {"rope_type": "default", "rope_theta": 5.0}, "rope_scaling": YARN}
    assert any("'yarn' and rope_parameters 'default'" in told for told in ropes.contradictions(config))
    assert list(ropes.contradictions({"rope_parameters": YARN, "rope_scaling": YARN})) == []


def test_both_dialects_give_one_scaling() -> None:
    old = {"rope_theta": 5.0, "rope_scaling": {"type": "yarn", "factor": 4.0}}
    new = {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 5.0}}
    assert ropes.scaling(old)[0] == ropes.scaling(new)[0] == {"rope_type": "yarn", "type": "yarn", "factor": 4.0}
    assert ropes.flat(old) == ropes.flat(new)


def test_settings_by_layer_type_are_told_from_flat_ones() -> None:
    layers = {"full_attention": {"rope_type": "default", "rope_theta": 7.0}}
    assert ropes.by_layer_type({"rope_parameters": layers}) == layers
    assert ropes.by_layer_type({"rope_parameters": YARN}) is None
    assert ropes.theta_of({"rope_parameters": layers}, "full_attention", "rope_theta") == 7.0
    assert ropes.theta_of({"swa_rope_theta": 3.0}, "sliding_attention", "swa_rope_theta") == 3.0


def test_the_drift_is_measured_from_the_frequencies_that_mlx_lm_itself_computes() -> None:
    theirs = initialize_rope(64, 150000.0, False, {**YARN, "type": "yarn"}, 131072)
    dims = np.arange(0, 64, 2) / 64
    low, high = (64 * math.log(4096 / (turns * 2 * math.pi)) / (2 * math.log(150000.0)) for turns in (32, 1))
    ramp = np.clip((np.arange(32) - low) / (high - low), 0, 1)
    exact = 150000.0**-dims * (1 - ramp + ramp / 32)
    with mx.stream(mx.cpu):
        found = np.abs(1 / np.array(theirs._freqs, np.float64) - exact).max()
    assert ropes.drift(YARN, 64) == pytest.approx(found, rel=1e-3)
    assert ropes.drift({**YARN, "factor": None}, 64) == math.inf
