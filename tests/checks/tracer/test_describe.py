import numpy as np
import pytest

from hubbot.checks.tracer.describe import OriginDescriber, fold, layer_of, pattern
from hubbot.checks.tracer.element_ids import NOWHERE, Numbering, Traced

NAMES = [f"model.layers.3.mlp.experts.{expert}.up_proj.weight" for expert in range(3)]
TELLER = OriginDescriber(Numbering({**dict.fromkeys(NAMES, (2, 4)), "model.norm.weight": (4,)}))
STACK = np.arange(24).reshape(3, 2, 4)


@pytest.mark.parametrize(
    ("elements", "how"),
    [
        (STACK, "stacked in expert order, each as it is"),
        (STACK.swapaxes(-1, -2), "stacked in expert order, each transposed"),
        (STACK[[2, 0, 1]], "stacked as experts 2, 0, 1, each as it is"),
        (np.concatenate([STACK[:2], STACK[2:, ::-1]]), "stacked from parts of several kinds"),
    ],
)
def test_a_stack_is_told_by_its_order_and_what_each_is(elements: np.ndarray, how: str) -> None:
    assert TELLER.describe(Traced(elements=elements)).how == how


def test_one_tensor_is_told_by_name_and_with_its_fold() -> None:
    told = TELLER.describe(Traced(elements=np.arange(24, 28), addend=1.0))
    assert str(told) == "model.norm.weight, as it is, plus 1"


def test_elements_of_several_tensors_are_told_as_mixed() -> None:
    told = TELLER.part(np.array([0, 9]))
    assert told.sources == tuple(NAMES[:2])
    assert str(told) == f"{NAMES[0]} and 1 more, mixed"


def test_what_is_nowhere_is_counted() -> None:
    assert str(TELLER.part(np.array([0, NOWHERE]))) == "1 of 2 numbers are no source element's"


def test_an_order_that_is_no_slice_is_said_to_be_none() -> None:
    assert TELLER.part(STACK[0][::-1]).how == "in an order that is no part of it"


def test_a_fold_is_told_by_factor_and_constant() -> None:
    elements = np.arange(3)
    assert fold(Traced(elements=elements)) == ""
    assert fold(Traced(elements=elements, scale=0.5, addend=-1)) == ", times 0.5, plus -1"


def test_layers_and_experts_are_left_open_in_a_pattern() -> None:
    assert pattern(NAMES[1]) == "model.layers.{l}.mlp.experts.{e}.up_proj.weight"
    assert pattern("model.layers.10.mlp.experts.gate_up_proj") == "model.layers.{l}.mlp.experts.gate_up_proj"
    assert (layer_of(NAMES[1]), layer_of("lm_head.weight")) == (3, None)
