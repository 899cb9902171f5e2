import json
from dataclasses import replace
from itertools import product

import mlx.core as mx
import pytest

from hubbot.catalogue.experts.expert_layouts import BY_KEY
from hubbot.checkpoints import Repo
from hubbot.moves import Move, Packed, Part, take
from hubbot.plans import Drop, Encoding, Layout, Origin, Plan, PlannedVariant, in_words
from tests.checkpoints_on_disk import MLX_DTYPES, from_mlx

LAYOUT = Layout(
    row="per_expert", naming="per-expert", stacking="per-expert", order=None, orientation="out,in", packing="none",
    num_experts=8, experts_per_token=None, moe_layers=(0, 2), layers=3, evidence=("seen", "cited"),
)  # fmt: skip
MOVE = Move(
    output="model.layers.0.mlp.switch_mlp.up_proj.weight", shape=(8, 4, 64), role="expert",
    sources=("a", "b"), stacked=True, quantizable=True, view=(take(4, 8),),
)  # fmt: skip
PACKED = Packed(
    name="a", packing="fp8", shape=(4, 64), rows=2, columns=32,
    parts={"weight": Part(tensor="a", rows=1), "scale": Part(tensor="a_scale_inv", rows=2)},
)  # fmt: skip
VARIANT = PlannedVariant(
    name="4bit", recipe={"name": "4bit", "experts": {"bits": 4}},
    encodings={MOVE.output: Encoding(mode="affine", dtype="BF16", bits=4, group_size=64)},
    nbytes=10, bits_per_weight=4.5, unquantized=(Drop(name="x", reason="too narrow"),),
)  # fmt: skip
PLAN = Plan(
    source=Repo(id="org/model", revision="b" * 40), layout=LAYOUT, config={"model_type": "mixtral", "x": [1]},
    origins=(Origin(field="rope_scaling", value=None, origin="none"),), moves=(MOVE,),
    drops=(Drop(name="y", reason="tied"),), packed=(PACKED,), variants=(VARIANT,), disk_bytes=10, memory_bytes=20,
    versions={"mlx": "0.32.4"},
)  # fmt: skip
AFFINE = [("affine", bits, group) for bits, group in product((2, 3, 4, 5, 6, 8), (32, 64, 128))]
OTHERS = [("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)]


def test_json_takes_a_plan_back_through_text() -> None:
    assert Plan.from_json(json.loads(json.dumps(PLAN.to_json()))) == PLAN


def test_json_takes_layout_and_variant_back() -> None:
    assert Layout.from_json(json.loads(json.dumps(LAYOUT.to_json()))) == LAYOUT
    assert PlannedVariant.from_json(json.loads(json.dumps(VARIANT.to_json()))) == VARIANT


# Rows of the layout catalogue as the version before words called them; hubbot.json and databases hold them.
LETTERS = {
    "A": "per_expert", "A'": "per_expert_up_first", "B": "per_expert_w", "B'": "per_expert_fc", "C": "gateless",
    "C'": "stacked_gateless", "D": "stacked", "E": "stacked_fused", "E'": "granite_fused", "E*": "flat",
    "F": "stacked_fused_transposed", "G": "w13", "M": "mlx_switch", "M'": "mlx_experts",
}  # fmt: skip


# Rows that came after letters had become words.
NEVER_A_LETTER = {"stacked_in_moe"}


def test_every_row_is_read_under_its_former_letter_too() -> None:
    assert sorted(LETTERS.values()) == sorted(set(BY_KEY) - NEVER_A_LETTER)
    for letter, word in LETTERS.items():
        stored = {**json.loads(json.dumps(LAYOUT.to_json())), "row": letter}
        assert Layout.from_json(stored) == replace(LAYOUT, row=word)
        assert in_words({"row": letter})["row"] == in_words({"row": word})["row"] == word


@pytest.mark.parametrize("row", [None, 3, ["A"], "Z"])
def test_a_row_that_no_version_wrote_stays_as_it_is(row: object) -> None:
    assert in_words({"row": row, "order": None}) == {"row": row, "order": None}


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize(("mode", "bits", "group_size"), [*AFFINE, *OTHERS])
@pytest.mark.parametrize("shape", [(5, 384), (3, 7, 128)])
def test_the_parts_of_an_encoding_are_those_that_mx_quantize_makes(
    mode: str, bits: int, group_size: int, shape: tuple[int, ...], dtype: str
) -> None:
    weight, scales, *biases = mx.quantize(
        mx.zeros(shape, MLX_DTYPES[dtype]), group_size=group_size, bits=bits, mode=mode
    )
    made = {"p.weight": weight, "p.scales": scales} | ({"p.biases": biases[0]} if biases else {})
    encoding = Encoding(mode=mode, dtype=dtype if mode == "affine" else "U8", bits=bits, group_size=group_size)
    parts = encoding.parts("p.weight", shape)
    assert parts == tuple((name, from_mlx(array)[0], tuple(array.shape)) for name, array in made.items())
    assert encoding.nbytes("p.weight", shape) == sum(array.nbytes for array in made.values())


def test_a_tensor_scale_is_one_float32_per_expert() -> None:
    encoding = Encoding(mode="nvfp4", dtype="U8", bits=4, group_size=16, global_scale=True)
    assert encoding.parts("p.weight", (3, 7, 32))[-1] == ("p.global_scale", "F32", (3,))


def test_a_plain_tensor_is_one_part_under_its_own_name() -> None:
    encoding = Encoding(mode="none", dtype="BF16")
    assert encoding.parts("model.norm.weight", (5,)) == (("model.norm.weight", "BF16", (5,)),)
    assert encoding.nbytes("model.norm.weight", (5,)) == 10
    assert not encoding.is_quantized
