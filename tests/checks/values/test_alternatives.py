from pathlib import Path

import numpy as np
import pytest

from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.checks.readers.expected_parameters import Expectations, ExpertPlace
from hubbot.checks.values.alternatives import alternatives, objection
from tests.checkpoints_on_disk import Workshop
from tests.reference.checkpoints import case, tensors

ROWS = np.arange(5)
NO_BOUND = np.zeros(1)


def expectations(name: str, workshop: Workshop) -> Expectations:
    source = workshop.source(name)
    family = BY_MODEL_TYPE[source.checkpoint.model_type]
    return Expectations(Path(source.folder), source.checkpoint, family, source.checkpoint.config)


def test_the_wrong_readings_are_the_known_ones_and_hold_the_sources_numbers(workshop: Workshop) -> None:
    held = tensors(case("qwen3_moe/square/orig"))
    stem = "model.layers.1.mlp.experts"
    gate, up, neighbour = (held[f"{stem}.{name}.weight"] for name in ("2.gate_proj", "2.up_proj", "3.gate_proj"))
    place = ExpertPlace(prefix="model.layers.1", projection="gate")
    found = dict(alternatives(expectations("qwen3_moe/square/hub", workshop), place, 2, [3], ROWS))
    expected = {
        "gate and up are swapped": up,
        "the halves are taken as interleaved": np.concatenate([gate, up])[::2],
        "interleaved rows are taken as halves": np.stack([gate, up], axis=1).reshape(-1, gate.shape[1]),
        "it is expert 3": neighbour,
        "it is transposed": gate.T,
        "it is the down projection": held[f"{stem}.2.down_proj.weight"],
    }
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[what], expected[what][ROWS]) for what in expected)


def test_a_rectangle_cannot_be_transposed_and_down_has_no_other_half(workshop: Workshop) -> None:
    place = ExpertPlace(prefix="model.layers.0", projection="down")
    found = dict(alternatives(expectations("qwen3_moe/hub", workshop), place, 7, [0], ROWS))
    assert set(found) == {"it is expert 0"}


def test_the_true_source_meets_no_objection_and_a_wrong_one_is_named() -> None:
    generator = np.random.default_rng(1)
    true, wrong = generator.normal(size=(2, 4, 8)).astype(np.float32)
    near = true + np.float32(0.01)
    assert objection(near, true, np.full(1, 0.02), iter([("wrong", wrong)])) is None
    assert objection(wrong, true, np.full(1, 0.02), iter([("wrong", wrong)])) == "wrong"


@pytest.mark.parametrize("difference", [0.0, 0.03])
def test_a_reading_that_hardly_differs_from_the_source_does_not_count(difference: float) -> None:
    true = np.ones((4, 8), np.float32)
    twin = true + np.float32(difference)
    assert objection(twin, true, np.full(1, 0.02), iter([("twin", twin)])) is None
    if difference:
        assert objection(twin, true, NO_BOUND, iter([("twin", twin)])) == "twin"
