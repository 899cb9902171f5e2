from typing import Any

import pytest

from hubbot.catalogue.configs import derivations
from hubbot.catalogue.configs.derivations import Derivation, copied, first, listed, repeated


def value(derivation: Derivation, **config: Any) -> Any:
    found = derivation(config)
    return None if found is None else found.value


@pytest.mark.parametrize(
    ("kinds", "dense"),
    [
        (["dense", "sparse", "sparse"], 1),
        (["sparse"], 0),
        (["dense"], 1),
        (["sparse", "dense"], None),
        (None, None),
    ],
)
def test_leading_dense_layers_are_counted_and_nothing_else_is_guessed(kinds: Any, dense: int | None) -> None:
    assert value(derivations.dense_layers, mlp_layer_types=kinds) == dense


def test_an_interval_of_full_attention_must_be_regular() -> None:
    linear, full = "linear_attention", "full_attention"
    regular = [linear, linear, full, linear, linear, full]
    assert value(derivations.full_attention_interval, layer_types=regular) == 3
    assert value(derivations.full_attention_interval, layer_types=[linear, full, full]) is None


def test_small_derivations_copy_translate_repeat_and_ask_in_turn() -> None:
    assert value(copied("a", "b", times=2), b=3) == 6
    assert value(listed("kinds", {"x": 1}), kinds=["x", "x"]) == [1, 1]
    assert value(listed("kinds", {"x": 1}), kinds=["x", "y"]) is None
    assert value(repeated("heads"), heads=4, num_hidden_layers=2) == [4, 4]
    assert value(repeated("heads"), heads=4, num_hidden_layers=10**9) is None
    assert value(first(copied("a"), copied("b")), b=1) == 1
