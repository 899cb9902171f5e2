import numpy as np
import pytest

from hubbot.checks.parity.logit_comparison import ALLOWED, compare
from hubbot.runtime.probe import Run

LOGITS = np.linspace(-4, 4, 24, dtype=np.float32).reshape(3, 8)
CHOICES = np.array([[0, 1], [2, 3], [1, 3]])


def run(logits: np.ndarray = LOGITS, choices: np.ndarray = CHOICES, experts: int | None = 4) -> Run:
    return Run(logits=logits, choices=(choices,), experts=experts)


def test_the_same_function_agrees_whatever_the_order_of_the_experts() -> None:
    found = compare(run(), run(choices=CHOICES[:, ::-1]))
    assert (found.relative, found.flipped) == (0.0, "")


def test_the_largest_difference_counts_against_the_largest_logit_and_is_located() -> None:
    other = LOGITS.copy()
    other[1, 5] += 0.004
    found = compare(run(), run(other))
    assert found.relative == pytest.approx(0.001, rel=1e-3)
    assert found.position == 1
    assert found.relative > ALLOWED


def test_another_expert_is_named_with_layer_and_token() -> None:
    other = CHOICES.copy()
    other[2, 0] = 0
    found = compare(run(), run(choices=other))
    assert found.flipped == "MoE layer 0, token 2: experts [0, 3] for [1, 3]"


@pytest.mark.parametrize(
    ("reference", "other"),
    [
        (Run(logits=LOGITS, choices=(), experts=None), run()),
        (run(), run(choices=CHOICES[:, :1])),
        (run(choices=CHOICES + 2), run(experts=4)),
    ],
)
def test_choices_of_another_form_are_not_compared(reference: Run, other: Run) -> None:
    found = compare(reference, other)
    assert (found.relative, found.flipped) == (0.0, None)


def test_what_is_not_a_number_never_agrees() -> None:
    other = LOGITS.copy()
    other[0, 0] = np.nan
    assert compare(run(), run(other)).relative == float("inf")
