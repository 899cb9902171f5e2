import pytest

from hubbot.catalogue.experts.relayout_forms import (
    TARGETS,
    Form,
    Place,
    halves,
    has_hub_names,
    pair_of,
    proven,
    read,
    target,
)
from hubbot.catalogue.experts.transformers_names import Naming
from hubbot.errors import AmbiguousLayout, WrongUsage

GATED = frozenset({"gate", "up", "down"})
QWEN = Naming(row="per_expert", order="concatenated")


@pytest.mark.parametrize(
    ("name", "prefix", "block", "part", "projection", "expert"),
    [
        (
            "model.layers.3.mlp.experts.17.up_proj.weight",
            "model.layers.3",
            "mlp",
            "experts.{e}.up_proj.weight",
            "up",
            17,
        ),
        ("model.layers.3.mlp.experts.1.w2.bias", "model.layers.3", "mlp", "experts.{e}.w2.bias", "down_bias", 1),
        ("layers.0.ffn.experts.gate_proj", "layers.0", "ffn", "experts.gate_proj", "gate", None),
        ("a.layers.1.experts.gate_up_proj", "a.layers.1", "", "experts.gate_up_proj", "gate_up", None),
        (
            "a.layers.1.mlp.experts.gate_up_proj_bias",
            "a.layers.1",
            "mlp",
            "experts.gate_up_proj_bias",
            "gate_up_bias",
            None,
        ),
        (
            "a.layers.1.block_sparse_moe.input_linear.weight",
            "a.layers.1",
            "block_sparse_moe",
            "input_linear.weight",
            "gate_up",
            None,
        ),
    ],
)
def test_an_experts_name_is_taken_apart(
    name: str, prefix: str, block: str, part: str, projection: str, expert: int | None
) -> None:
    found = read(name)
    assert found is not None
    assert (found.prefix, found.block, found.part) == (prefix, block, part)
    assert (found.projection, found.expert) == (projection, expert)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.3.mlp.shared_expert.up_proj.weight",
        "model.layers.3.mlp.experts.01.up_proj.weight",
        "model.layers.3.mlp.experts.1.up_proj.weight_scale",
        "model.layers.3.mlp.experts.gate_up_proj.weight",
        "model.layers.3.mlp.gate.weight",
    ],
)
def test_any_other_name_is_left_alone(name: str) -> None:
    assert read(name) is None


def test_gate_and_up_share_a_tensor_half_by_half_or_row_by_row() -> None:
    fused = target("fused", QWEN, GATED)
    assert fused.place("h", "up", 3, 10) == Place(
        tensor="h.experts.gate_up_proj", expert=3, rows=(10, 20, 1), transposed=False
    )
    interleaved = Form(parts=fused.parts, transposed=True, order="interleaved")
    assert interleaved.place("h", "gate", 3, 10).rows == (0, 20, 2)
    assert interleaved.place("h", "up", 3, 10) == Place(
        tensor="h.experts.gate_up_proj", expert=3, rows=(1, 20, 2), transposed=True
    )


def test_an_expert_of_its_own_names_its_number() -> None:
    form = target("per-expert", Naming(row="per_expert_w", order="concatenated"), GATED)
    assert form.place("h", "up", 3, 10) == Place(
        tensor="h.experts.3.w3.weight", expert=None, rows=(0, 10, 1), transposed=False
    )


def test_biases_are_never_transposed_and_go_where_their_weights_go() -> None:
    biased = frozenset({*GATED, "gate_bias", "up_bias", "down_bias"})
    form = target("fused-transposed", QWEN, biased)
    assert form.place("h", "up_bias", 1, 4) == Place(
        tensor="h.experts.gate_up_proj_bias", expert=1, rows=(4, 8, 1), transposed=False
    )
    assert target("per-expert", QWEN, biased).place("h", "down_bias", 1, 4).tensor == "h.experts.1.down_proj.bias"


def test_without_a_gate_fused_is_stacked() -> None:
    form = target("fused", Naming(row="per_expert", order=None), frozenset({"up", "down"}))
    assert form.parts == {"up": "experts.up_proj", "down": "experts.down_proj"}
    with pytest.raises(WrongUsage):
        target("fused-transposed", Naming(row="per_expert", order=None), frozenset({"up", "down"}))


def test_an_order_that_nothing_proves_is_ambiguous() -> None:
    assert proven("interleaved", "x") == "interleaved"
    with pytest.raises(AmbiguousLayout, match="nothing proves how gate and up share 'x'"):
        proven(None, "x")
    with pytest.raises(AmbiguousLayout):
        target("fused", None, GATED)


def test_up_may_come_first() -> None:
    form = Form(parts={"gate_up": "x", "down": "y"}, transposed=False, order="up-first")
    assert form.place("h", "gate", 0, 3).rows == (3, 6, 1)
    assert form.place("h", "up", 0, 3).rows == (0, 3, 1)


def test_only_single_experts_have_the_hubs_names() -> None:
    assert [has_hub_names(name, QWEN) for name in TARGETS] == [True, False, False, False]
    assert not has_hub_names("per-expert", Naming(row=None, order="concatenated"))


def test_halves_and_pairs_are_each_others_inverse() -> None:
    for pair in ("gate_up", "gate_up_bias"):
        assert {pair_of(half) for half in halves(pair)} == {pair}
    assert halves("down_bias") == ("down_bias",)
