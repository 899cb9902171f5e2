from hubbot.checks.smoke.expert_use import LayerUse, warnings


def use(*counts: int, tokens: int = 100) -> LayerUse:
    return LayerUse(layer="model.layers.3.mlp", tokens=tokens, counts=counts)


def test_even_and_skewed_use_of_all_experts_is_fine() -> None:
    assert list(warnings([use(50, 50, 50, 50), use(140, 30, 20, 10)])) == []


def test_experts_that_were_never_chosen_are_told_with_the_layer() -> None:
    assert list(warnings([use(90, 60, 50, 0)])) == [
        "model.layers.3.mlp: 1 of 4 experts were never chosen in 100 tokens"
    ]


def test_a_router_that_always_chooses_the_same_has_collapsed() -> None:
    (warning,) = warnings([use(100, 100, 0, 0, 0, 0)])
    assert "collapsed: 2.0 of 6 experts" in warning


def test_a_few_tokens_say_nothing_and_neither_does_a_layer_that_was_not_used() -> None:
    assert list(warnings([use(4, 4, 0, 0, tokens=4), use(0, 0, 0, 0, tokens=0), use()])) == []


def test_a_layer_that_uses_all_its_experts_for_every_token_cannot_collapse() -> None:
    assert list(warnings([use(100, 100)])) == []


def test_the_effective_number_of_experts_is_that_of_equal_use() -> None:
    assert abs(use(25, 25, 25, 25).effective - 4) < 1e-9
    assert use(100, 0, 0).effective == 1
