import pytest

from hubbot.catalogue.experts.expert_layouts import (
    BY_KEY,
    ROWS,
    TARGETS,
    LayoutRow,
    looks_like_expert,
    read_name,
    read_names,
    row_of,
    spelled,
    target_named,
)
from hubbot.errors import AmbiguousLayout
from tests.reference.checkpoints import case, tensors

M = "block_sparse_moe"
BLOCK_2 = "transformer.blocks.2"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_each_rows_example_is_read_by_that_row(row: LayoutRow) -> None:
    found = read_name(row.example)
    assert found is not None
    # Where two rows have the same names, shapes or a missing gate tell them apart, not one name alone.
    assert found.row.key == (row.same_names_as or row.key)


def test_keys_are_unique() -> None:
    assert len(BY_KEY) == len(ROWS)


@pytest.mark.parametrize(
    ("name", "row", "prefix", "layer", "block", "projection", "expert"),
    [
        ("model.layers.3.mlp.experts.17.gate_proj.weight", "per_expert", "model.layers.3", 3, "mlp", "gate", 17),
        ("model.layers.0.mlp.experts.0.down_proj.weight", "per_expert", "model.layers.0", 0, "mlp", "down", 0),
        (
            "model.language_model.layers.11.mlp.experts.2.up_proj.weight",
            "per_expert", "model.language_model.layers.11", 11, "mlp", "up", 2,
        ),
        ("model.layers.1.block_sparse_moe.experts.7.w1.weight", "per_expert_w", "model.layers.1", 1, M, "gate", 7),
        ("model.layers.1.block_sparse_moe.experts.7.w3.weight", "per_expert_w", "model.layers.1", 1, M, "up", 7),
        ("model.layers.1.block_sparse_moe.experts.7.w2.weight", "per_expert_w", "model.layers.1", 1, M, "down", 7),
        ("model.layers.9.mlp.experts.gate_up_proj", "stacked_fused", "model.layers.9", 9, "mlp", "gate_up", None),
        ("model.layers.9.mlp.switch_mlp.down_proj.weight", "mlx_switch", "model.layers.9", 9, "mlp", "down", None),
        ("layers.9.mlp.switch_mlp.down_proj.weight", "mlx_switch", "layers.9", 9, "mlp", "down", None),
        ("layers.0.ffn.experts.gate_proj", "stacked", "layers.0", 0, "ffn", "gate", None),
        ("a.layers.1.experts.gate_up_proj", "stacked_fused", "a.layers.1", 1, "", "gate_up", None),
        ("transformer.blocks.2.ffn.experts.4.w1.weight", "per_expert_w", BLOCK_2, 2, "ffn", "gate", 4),
        (f"a.layers.1.{M}.input_linear.weight", "granite_fused", "a.layers.1", 1, M, "gate_up", None),
    ],
)  # fmt: skip
def test_a_name_is_read_in_whole(
    name: str, row: str, prefix: str, layer: int, block: str, projection: str, expert: int | None
) -> None:
    found = read_name(name)
    assert found is not None
    assert (found.row.key, found.prefix, found.layer, found.block) == (row, prefix, layer, block)
    assert (found.projection, found.expert) == (projection, expert)


@pytest.mark.parametrize(
    ("name", "row", "projection", "part"),
    [
        ("model.layers.3.mlp.experts.1.up_proj.bias", "per_expert", "up", "experts.{e}.up_proj.bias"),
        ("model.layers.3.mlp.experts.1.w2.bias", "per_expert_w", "down", "experts.{e}.w2.bias"),
        ("layers.1.mlp.experts.gate_up_proj_bias", "stacked_fused", "gate_up", "experts.gate_up_proj_bias"),
        ("layers.1.mlp.experts.gate_proj_bias", "stacked", "gate", "experts.gate_proj_bias"),
        ("layers.1.mlp.switch_mlp.up_proj.bias", "mlx_switch", "up", "switch_mlp.up_proj.bias"),
    ],
)
def test_a_bias_stands_where_torch_or_transformers_keeps_it(
    name: str, row: str, projection: str, part: str
) -> None:
    found = read_name(name)
    assert found is not None
    assert (found.row.key, found.projection, found.is_bias, found.part) == (row, projection, True, part)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_the_names_of_a_row_are_read_as_that_row_whatever_else_they_could_be(row: LayoutRow) -> None:
    names = [f"model.layers.0.mlp.{part.replace('{e}', '0')}" for part in row.all_parts.values()]
    known, unknown = read_names(names)
    assert unknown == []
    # Only shapes tell a transposed row.
    assert row_of(known).key == (row.same_names_as if row.orientation == "in,out" else row.key)


def test_names_of_several_rows_are_ambiguous_and_each_is_told_with_its_layer() -> None:
    known, _ = read_names(
        [
            "model.layers.0.mlp.experts.0.gate_proj.weight",
            "model.layers.1.mlp.experts.gate_proj",
            "model.layers.1.mlp.experts.down_proj",
        ]
    )
    with pytest.raises(AmbiguousLayout) as caught:
        row_of(known)
    assert "per_expert (" in caught.value.message
    assert "in layer 0, stacked (stacked, separate" in caught.value.message
    assert caught.value.message.endswith("in layer 1")


def test_the_command_line_writes_words_with_hyphens_and_knows_the_former_ones() -> None:
    assert [spelled(key) for key in TARGETS] == [
        "per-expert", "per-expert-up-first", "stacked-fused", "stacked", "stacked-fused-transposed", "mlx-switch",
    ]  # fmt: skip
    assert [target_named(word) for word in ("fused", "fused-transposed", "stacked-fused", "stacked_fused")] == [
        "stacked_fused", "stacked_fused_transposed", "stacked_fused", "stacked_fused",
    ]  # fmt: skip
    assert target_named("w13") is None
    assert target_named("sideways") is None


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.3.mlp.shared_expert.gate_proj.weight",
        "model.layers.3.mlp.shared_experts.gate_proj.weight",
        "model.layers.3.mlp.shared_experts.0.gate_proj.weight",
        "model.layers.3.mlp.shared_experts.gate_up_proj",
        "model.layers.3.mlp.shared_mlp.gate_proj.weight",
        "model.layers.3.mlp.shared_expert_gate.weight",
    ],
)
def test_a_shared_expert_is_never_a_routed_one(name: str) -> None:
    assert read_name(name) is None
    assert not looks_like_expert(name)


@pytest.mark.parametrize(
    "name",
    [
        "xmodel.layers.3.mlp.experts.17.gate_proj.weight.extra",
        "model.layers.3.mlp.experts.17.gate_proj.weight_scale",
        "model.layers.3.mlp.experts.17.gate_proj",
        "model.layers.3.mlp.experts.017.gate_proj.weight",
        "model.layers.3.mlp.experts.-1.gate_proj.weight",
        "model.layers.3.mlp.experts.1234567.gate_proj.weight",
        f"model.layers.{'9' * 5000}.mlp.experts.1.gate_proj.weight",
        "model.layers.3.mlp.experts.gate_up_proj.weight",
        "model.layers.3.attn.experts.17.gate_proj.weight",
        "model.layers.x.mlp.experts.17.gate_proj.weight",
        "model.layers.3.mlp.experts.17.gate_proj.weight\n",
        "model.layers.3.mlp.experts.w1.weight",
        "model.layers.3.mlp.local_experts.0.w1.weight",
        "model.layers.3.mlp.experts.17.c_fc.weight",
        "encoder/model.layers.3.mlp.experts.17.gate_proj.weight",
    ],
)
def test_a_name_that_only_contains_a_pattern_matches_no_row_and_still_looks_like_an_expert(name: str) -> None:
    assert read_name(name) is None
    assert looks_like_expert(name)


@pytest.mark.parametrize(
    "name", ["model.layers.3.mlp.gate_proj.weight", "model.layers.3.mlp.gate.weight", "model.norm.weight"]
)
def test_a_dense_tensor_does_not_look_like_an_expert(name: str) -> None:
    assert read_name(name) is None
    assert not looks_like_expert(name)


def test_digits_other_than_ascii_are_no_layer_number() -> None:
    assert read_name("model.layers.\u0663.mlp.experts.1.gate_proj.weight") is None


@pytest.mark.parametrize(
    ("name", "key", "count"),
    [
        ("qwen3_moe/orig", "per_expert", 2 * 8 * 3),
        ("qwen3_moe/v5", "stacked_fused", 2 * 2),
        ("mixtral/orig", "per_expert_w", 2 * 6 * 3),
        ("mixtral/v5", "stacked_fused", 2 * 2),
        ("qwen2_moe/orig", "per_expert", 2 * 6 * 3),
    ],
)
def test_what_transformers_wrote_is_read_by_one_row_and_nothing_is_left_over(
    name: str, key: str, count: int
) -> None:
    known, unknown = read_names(tensors(case(name)))
    assert {tensor.row.key for tensor in known} == {key}
    assert len(known) == count
    assert unknown == []
