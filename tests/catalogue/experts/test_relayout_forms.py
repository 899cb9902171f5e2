import pytest

from hubbot.catalogue.experts.expert_layouts import TARGETS
from hubbot.catalogue.experts.relayout_forms import (
    OF_SOME,
    Form,
    Place,
    halves,
    has_hub_names,
    pair_of,
    proven,
    target,
)
from hubbot.catalogue.families.row import Naming
from hubbot.errors import AmbiguousLayout, WrongUsage

GATED = frozenset({"gate", "up", "down"})
QWEN = Naming(row="per_expert", order="concatenated")


def test_gate_and_up_share_a_tensor_half_by_half_or_row_by_row() -> None:
    fused = target("stacked_fused", QWEN, GATED)
    assert fused.place("h", "up", 3, 10) == Place(
        tensor="h.experts.gate_up_proj", expert=3, rows=(10, 20, 1), transposed=False
    )
    interleaved = Form(parts=fused.parts, transposed=True, order="interleaved")
    assert interleaved.place("h", "gate", 3, 10).rows == (0, 20, 2)
    assert interleaved.place("h", "up", 3, 10) == Place(
        tensor="h.experts.gate_up_proj", expert=3, rows=(1, 20, 2), transposed=True
    )


def test_an_expert_of_its_own_names_its_number() -> None:
    form = target("per_expert", Naming(row="per_expert_w", order="concatenated"), GATED)
    assert form.place("h", "up", 3, 10) == Place(
        tensor="h.experts.3.w3.weight", expert=None, rows=(0, 10, 1), transposed=False
    )


def test_biases_are_never_transposed_and_go_where_their_weights_go() -> None:
    biased = frozenset({*GATED, "gate_bias", "up_bias", "down_bias"})
    form = target("stacked_fused_transposed", QWEN, biased)
    assert form.place("h", "up_bias", 1, 4) == Place(
        tensor="h.experts.gate_up_proj_bias", expert=1, rows=(4, 8, 1), transposed=False
    )
    assert target("per_expert", QWEN, biased).place("h", "down_bias", 1, 4).tensor == "h.experts.1.down_proj.bias"


def test_without_a_gate_fused_is_stacked() -> None:
    form = target("stacked_fused", Naming(row="per_expert", order=None), frozenset({"up", "down"}))
    assert form.parts == {"up": "experts.up_proj", "down": "experts.down_proj"}
    with pytest.raises(WrongUsage):
        target("stacked_fused_transposed", Naming(row="per_expert", order=None), frozenset({"up", "down"}))


def test_an_order_that_nothing_proves_is_ambiguous() -> None:
    assert proven("interleaved", "x") == "interleaved"
    with pytest.raises(AmbiguousLayout, match="nothing proves how gate and up share 'x'"):
        proven(None, "x")
    with pytest.raises(AmbiguousLayout):
        target("stacked_fused", None, GATED)


def test_up_may_come_first() -> None:
    form = Form(parts={"gate_up": "x", "down": "y"}, transposed=False, order="up-first")
    assert form.place("h", "gate", 0, 3).rows == (3, 6, 1)
    assert form.place("h", "up", 0, 3).rows == (0, 3, 1)


def test_only_single_experts_have_the_hubs_names() -> None:
    assert {name for name in TARGETS if has_hub_names(name, QWEN)} == {"per_expert", *OF_SOME}
    assert not has_hub_names("per_expert", Naming(row=None, order="concatenated"))


def test_a_form_that_only_some_model_types_have_is_refused_for_others() -> None:
    hunyuan = Naming(row="per_expert", order=None, orders={"per_expert_up_first": "up-first"})
    form = target("per_expert_up_first", hunyuan, GATED)
    assert form.place("h", "up", 2, 10) == Place(
        tensor="h.experts.2.gate_and_up_proj.weight", expert=None, rows=(0, 10, 1), transposed=False
    )
    for naming in (QWEN, None):
        with pytest.raises(WrongUsage, match="no checkpoint of this model type is per-expert-up-first"):
            target("per_expert_up_first", naming, GATED)


def test_halves_and_pairs_are_each_others_inverse() -> None:
    for pair in ("gate_up", "gate_up_bias"):
        assert {pair_of(half) for half in halves(pair)} == {pair}
    assert halves("down_bias") == ("down_bias",)
