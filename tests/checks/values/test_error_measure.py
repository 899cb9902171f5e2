import numpy as np

from hubbot.checks.readers.artifact_parameters import StoredParameter
from hubbot.checks.readers.expected_parameters import ExpertPlace
from hubbot.checks.values.compared_slices import Slice
from hubbot.checks.values.error_measure import WorstError
from hubbot.checks.values.exact_match import Match

PLACE = ExpertPlace(prefix="model.layers.0", projection="up")


def part(*, mode: str, place: ExpertPlace | None = None, start: int = 0, stop: int = 1) -> Slice:
    parameter = StoredParameter(
        name="x.weight", shape=(8, 4, 64), dtype="BF16", mode=mode, bits=4, group_size=0 if mode == "none" else 32,
        parts=("weight",),
    )  # fmt: skip
    return Slice(parameter=parameter, place=place, start=start, stop=stop)


def match(size: int, *wrong: int, finite: bool = True) -> Match:
    return Match(units=size, wrong=np.array(wrong, np.int64), ties=0, zeroed=0, saturated=0, finite=finite)


def test_the_first_difference_is_told_with_its_expert_row_and_group() -> None:
    worst = WorstError()
    worst.count(part(mode="affine", place=PLACE, start=2, stop=4), match(16), (2, 4, 64))
    worst.count(part(mode="affine", place=PLACE, start=4, stop=6), match(16, 8 + 5, 8 + 7), (2, 4, 64))
    assert (worst.units, worst.first, worst.experts) == (2, "expert 5, row 2, group 1", [5])


def test_of_a_plain_tensor_row_and_column_are_told() -> None:
    worst = WorstError()
    worst.count(part(mode="none", start=10, stop=12), match(128, 64 + 9), (2, 64))
    assert worst.first == "row 11, column 9"
    worst = WorstError()
    worst.count(part(mode="none", start=10, stop=12), match(2, 1), (2,))
    assert worst.first == "row 11"


def test_the_error_of_the_worst_group_stands_beside_its_bound() -> None:
    source = np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 64)
    actual = source.copy()
    actual[1, 40] += 0.5
    worst = WorstError()
    worst.measure(part(mode="affine", stop=2), source, actual)
    assert worst.ratio > 1
    assert abs(worst.error - 0.5) < 1e-6
    assert worst.at == "row 1, group 1"
    worst.measure(part(mode="affine", stop=2), source, actual * np.float32(np.nan))
    assert worst.not_finite == "rows 0 to 2"


def test_a_plain_tensors_error_is_measured_from_the_rounded_source() -> None:
    source = np.full((1, 64), 1 + 2.0**-12, np.float32)
    worst = WorstError()
    worst.measure(part(mode="none"), source, np.ones((1, 64), np.float32))
    assert (worst.ratio, worst.error) == (0, 0)
