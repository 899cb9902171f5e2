from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from hubbot.artifacts import Finding
from hubbot.checks.readers.expected_parameters import Expectations, ExpertPlace
from hubbot.checks.readers.tensor_files import narrow
from hubbot.checks.values.alternatives import alternatives, objection_to
from tests.checkpoints_on_disk import Workshop, edit_json, read_folder, rewrite, row_of
from tests.reference.checkpoints import case, tensors

ROWS = np.arange(5)
NO_BOUND = np.zeros(1)
SOURCE = "qwen3_moe/hub"
STEM = "model.layers.1.mlp.switch_mlp"


def expectations(name: str, workshop: Workshop) -> Expectations:
    source = workshop.source(name)
    family = row_of(source.checkpoint.config, source.checkpoint.tensors)
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


class MixedSource:
    """A source whose gate is stored in bfloat16 and whose other projections are in float32."""

    def __init__(self, held: dict[str, npt.NDArray[np.float32]]) -> None:
        self._held = held

    def stored_expert(self, place: ExpertPlace, _expert: int) -> tuple[npt.NDArray[Any], str]:
        values = self._held[place.projection]
        return (narrow(values, "BF16"), "BF16") if place.projection == "gate" else (values, "F32")


def test_the_wrong_readings_of_projections_of_two_dtypes_hold_each_ones_own_numbers() -> None:
    generator = np.random.default_rng(5)
    held = {
        name: np.round(generator.normal(size=(6, 6)) * 8).astype(np.float32) for name in ("gate", "up", "down")
    }
    place = ExpertPlace(prefix="model.layers.0", projection="gate")
    source = cast("Expectations", MixedSource(held))
    found = dict(alternatives(source, place, 0, [], ROWS))
    gate, up = held["gate"], held["up"]
    expected = {
        "gate and up are swapped": up,
        "the halves are taken as interleaved": np.concatenate([gate, up])[::2],
        "interleaved rows are taken as halves": np.stack([gate, up], axis=1).reshape(-1, 6),
        "it is transposed": gate.T,
        "it is the down projection": held["down"],
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
    assert objection_to(near, true, np.full(1, 0.02), iter([("wrong", wrong)])) is None
    assert objection_to(wrong, true, np.full(1, 0.02), iter([("wrong", wrong)])) == "wrong"


@pytest.mark.parametrize("difference", [0.0, 0.03])
def test_a_reading_that_hardly_differs_from_the_source_does_not_count(difference: float) -> None:
    true = np.ones((4, 8), np.float32)
    twin = true + np.float32(difference)
    assert objection_to(twin, true, np.full(1, 0.02), iter([("twin", twin)])) is None
    if difference:
        assert objection_to(twin, true, NO_BOUND, iter([("twin", twin)])) == "twin"


def contrasts(workshop: Workshop, folder: Path) -> dict[str, Finding]:
    report = workshop.report(SOURCE, folder)
    return {finding.subject: finding for finding in report.failures if finding.check == "contrast"}


def exchange(folder: Path, projection: str, one: int, other: int) -> None:
    stored = read_folder(folder)
    for name in [name for name in stored if f"{STEM}.{projection}_proj" in name]:
        bits = stored[name][1]
        bits[[one, other]] = bits[[other, one]]
    rewrite(folder, stored)


@pytest.mark.parametrize("variant", ["bf16", "4bit", "mxfp8"])
@pytest.mark.parametrize(("one", "other"), [(0, 1), (0, 5), (2, 6)])
def test_an_expert_is_told_whose_place_it_has_taken(
    one: int, other: int, variant: str, workshop: Workshop, tmp_path: Path
) -> None:
    folder = workshop.copy(SOURCE, variant, tmp_path / "x")
    exchange(folder, "down", one, other)
    (finding,) = contrasts(workshop, folder).values()
    assert finding.subject == f"{STEM}.down_proj.weight, expert {one}"
    assert (finding.reason, finding.measured) == (f"it is expert {other}", 2)


@pytest.mark.parametrize("variant", ["bf16", "4bit"])
def test_gate_and_up_are_told_apart_in_both_directions(variant: str, workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy(SOURCE, variant, tmp_path / "x")
    stored = read_folder(folder)
    for name in [name for name in stored if f"{STEM}.gate_proj" in name]:
        other = name.replace("gate_proj", "up_proj")
        stored[name][1][4], stored[other][1][4] = stored[other][1][4].copy(), stored[name][1][4].copy()
    rewrite(folder, stored)
    found = contrasts(workshop, folder)
    assert set(found) == {f"{STEM}.{name}_proj.weight, expert 4" for name in ("gate", "up")}
    assert {finding.reason for finding in found.values()} == {"gate and up are swapped"}


def test_a_plain_parameter_is_told_which_other_one_it_is(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy(SOURCE, "bf16", tmp_path / "x")
    stored = read_folder(folder)
    one, other = "model.layers.0.self_attn.k_proj.weight", "model.layers.1.self_attn.v_proj.weight"
    stored[one] = stored[other]
    rewrite(folder, stored)
    assert [(f.subject, f.reason) for f in contrasts(workshop, folder).values()] == [(one, f"it is {other}")]


def test_noise_looks_like_nothing_and_is_refused_by_its_values(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy(SOURCE, "4bit", tmp_path / "x")
    stored = read_folder(folder)
    bits = stored[f"{STEM}.up_proj.weight"][1]
    bits[3] = np.random.default_rng(1).integers(0, 2**32, bits[3].shape, dtype=np.uint32)
    rewrite(folder, stored)
    edit_json(folder / "hubbot.json", files=[])
    report = workshop.report(SOURCE, folder)
    assert {(f.check, f.subject) for f in report.failures} == {("values", f"{STEM}.up_proj.weight")}
