"""Routers that cannot decide: experts with the same row of a router, so that every token scores them alike.

Runtimes break such ties each in their own way, so that no artifact computes what transformers does. Experts
that are themselves the same may share a row. It reads the source alone.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hubbot.artifacts import Finding
from hubbot.catalogue.variants.roles import role_of
from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.values import finding

_CHECK = "router decides"
_MATRIX = re.compile(r"\.(?:gate|router)\.(?:\w+\.)?weight$")


def router_ties(expected: Expectations, stored: StoredParameters) -> Iterator[Finding]:
    """Yield a failure for each router of the source that scores two different experts alike for every token."""
    routers = [name for name in stored.by_name if role_of(name) == "router" and expected.source_name(name)]
    for name in (one for one in routers if _MATRIX.search(one) and len(stored.by_name[one].shape) == 2):
        block = name[: max(name.rfind(".gate."), name.rfind(".router."))]
        beside = [one for one in routers if one != name and one.startswith(f"{block}.")]
        experts = [one for one in stored.by_name if one.startswith(f"{block}.") and role_of(one) == "expert"]
        for some in _equal_rows(_scores(expected, name, beside, stored)):
            if (other := _first_other(expected, experts, some)) is not None:
                told = f"experts {some[0]} and {other} have the same row"
                yield finding(
                    _CHECK, name, told, "a row for each expert", "fail",
                    "every token scores these experts alike, and runtimes break ties differently: which of them "
                    "transformers takes, mlx-lm need not",
                )  # fmt: skip
                break


def _scores(
    expected: Expectations, name: str, beside: Sequence[str], stored: StoredParameters
) -> npt.NDArray[np.float32]:
    """Return what makes an expert's score, [experts, inputs and biases] float32."""
    count = stored.by_name[name].shape[0]
    biases = (one for one in beside if stored.by_name[one].shape == (count,))
    columns = [expected.rows(one, 0, count).reshape(count, -1) for one in (name, *biases)]
    return np.concatenate(columns, axis=1)


def _equal_rows(scores: npt.NDArray[np.float32]) -> Iterator[list[int]]:
    """Yield the numbers of rows that are equal, for every such group of two or more."""
    groups: dict[bytes, list[int]] = {}
    for number, row in enumerate(np.ascontiguousarray(scores + 0.0)):  # -0 is 0
        groups.setdefault(row.tobytes(), []).append(number)
    yield from (some for some in groups.values() if some[1:])


def _first_other(expected: Expectations, experts: Sequence[str], some: Sequence[int]) -> int | None:
    """Return the first expert of `some` that is not the same as their first one, or None."""
    for name in experts:
        place = expected.place(name)
        if place is not None:
            first = expected.expert(place, some[0])
            for number in some[1:]:
                if not np.array_equal(first, expected.expert(place, number)):
                    return number
    return None
