import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.catalogue.packings import METHODS, PACKINGS, unpacked
from hubbot.checkpoints import DTYPE_BITS, Checkpoint, FileInfo, Repo, TensorInfo
from hubbot.checks.readers.source_tensors import SourceTensors
from hubbot.errors import IncompleteCover, NeedsHuman, UnknownPacking
from tests.checkpoints_on_disk import look
from tests.packing_on_disk import FORMS, FUSED, compressed, is_linear, read_packed, rewrite, write

EXPERT = "model.layers.0.mlp.experts.3.up_proj"
Shapes = Mapping[str, tuple[str, tuple[int, ...]]]


def info(name: str, dtype: str, shape: tuple[int, ...]) -> TensorInfo:
    return TensorInfo(
        name=name, dtype=dtype, shape=shape, shard="m", start=0, end=math.prod(shape) * DTYPE_BITS[dtype] // 8
    )


def checkpoint(block: Mapping[str, Any] | None, tensors: Shapes, **config: Any) -> Checkpoint:
    held = {name: info(name, dtype, shape) for name, (dtype, shape) in tensors.items()}
    whole = {**config, **({"quantization_config": dict(block)} if block else {})}
    return Checkpoint(
        repo=Repo(id="a/b", revision="0" * 40),
        config=whole,
        card={},
        files=(FileInfo(path="m", size=1),),
        tensors=held,
        gated=False,
        private=False,
        requests=0,
        bytes_read=0,
    )


def weights(stem: str, **endings: tuple[str, tuple[int, ...]]) -> Shapes:
    return {f"{stem}.{ending}": stored for ending, stored in endings.items()}


FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "checkpoint_format": "gptq"}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}
INT4 = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}
AUTO = {"quant_method": "auto-round", "bits": 4, "group_size": 32, "sym": False, "data_type": "int"}
PACKED = weights("x", weight_packed=("I32", (16, 8)), weight_scale=("BF16", (16, 2)))
QWEIGHT = weights("x", qweight=("I32", (8, 16)), qzeros=("I32", (2, 2)), scales=("F16", (2, 16)))


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_read_as_its_logical_weights_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    made = write("qwen3_moe/orig", FORMS[name], tmp_path)
    source = look(made.packed)
    found = unpacked(source.checkpoint)
    assert {key: tensor.shape for key, tensor in found.checkpoint.tensors.items()} == {
        key: value.shape for key, value in made.values.items()
    }
    used = {part.tensor for packed in found.packed.values() for part in packed.parts.values()}
    plain = {key for key in made.values if key not in found.packed}
    assert used | set(found.dropped) | plain == set(source.checkpoint.tensors)
    assert source.layout.packing in {row.key for row in PACKINGS}


@pytest.mark.parametrize("name", FORMS)
def test_any_tensor_of_a_packed_expert_that_is_missing_is_refused_by_the_weights_name(
    name: str, tmp_path: Path
) -> None:
    made = write("qwen3_moe/orig", FORMS[name], tmp_path)
    stored = read_packed(made.packed)
    optional = (".g_idx", ".weight_g_idx", ".weight_shape", ".input_scale", ".input_global_scale")
    for key in [key for key in stored if key.startswith(f"{EXPERT}.") and not key.endswith(optional)]:
        rewrite(made.packed, {other: value for other, value in stored.items() if other != key})
        with pytest.raises(NeedsHuman) as caught:
            look(made.packed)
        assert EXPERT in f"{caught.value} {caught.value.where}"


def test_every_row_names_a_method_that_there_is_and_an_example() -> None:
    assert {row.method for row in PACKINGS} == set(METHODS) - {"mlx"}
    assert all(row.example and row.naming and row.source for row in PACKINGS)


BLOCKS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], Any, tuple[int, int]]] = {
    "whole blocks": ((256, 384), (2, 3), [128, 128], (128, 128)),
    "ragged edges": ((300, 130), (3, 2), [128, 128], (128, 128)),
    "blocks that are no squares": ((64, 96), (8, 3), [8, 32], (8, 32)),
    "one scale, rank 0": ((64, 96), (), None, (0, 0)),
    "one scale, rank 1": ((64, 96), (1,), None, (0, 0)),
    "one scale in a grid of one": ((64, 96), (1, 1), [128, 128], (0, 0)),
    "one for an expert": ((4, 64, 96), (4, 1, 1), [128, 128], (0, 0)),
    "one for an expert, rank 1": ((4, 64, 96), (4,), None, (0, 0)),
    "one for an output": ((64, 96), (64, 1), None, (1, 0)),
    "one for an output, rank 1": ((64, 96), (64,), None, (1, 0)),
    "one for an output of every expert": ((4, 64, 96), (4, 64, 1), None, (1, 0)),
    "one for a column of every expert": ((4, 64, 96), (4, 1, 96), None, (0, 1)),
    "blocks of every expert": ((4, 64, 96), (4, 2, 3), [32, 32], (32, 32)),
    "blocks that only the grid tells": ((64, 96), (2, 3), None, (32, 32)),
}


@pytest.mark.parametrize(("weight", "scale", "block", "found"), BLOCKS.values(), ids=BLOCKS.keys())
def test_a_scale_of_any_shape_tells_which_weights_share_it(
    weight: tuple[int, ...], scale: tuple[int, ...], block: Any, found: tuple[int, int]
) -> None:
    made = checkpoint(
        {"quant_method": "fp8", "weight_block_size": block},
        weights("x", weight=("F8_E4M3", weight), weight_scale_inv=("F32", scale)),
    )
    packed = unpacked(made).packed["x.weight"]
    assert (packed.rows, packed.columns) == found


MISFITS: Mapping[str, tuple[Mapping[str, Any], Shapes]] = {
    "a block size that the grid contradicts": (
        FP8 | {"weight_block_size": [64, 64]},
        weights("x", weight=("F8_E4M3", (256, 256)), weight_scale_inv=("F32", (2, 2))),
    ),
    "a block size of nothing": (
        FP8 | {"weight_block_size": [0, 128]},
        weights("x", weight=("F8_E4M3", (256, 256)), weight_scale_inv=("F32", (2, 2))),
    ),
    "a ragged grid without a block size": (
        {"quant_method": "fp8"},
        weights("x", weight=("F8_E4M3", (300, 256)), weight_scale_inv=("F32", (7, 2))),
    ),
    "a block size that is text": (
        FP8 | {"weight_block_size": "128"},
        weights("x", weight=("F8_E4M3", (256, 256)), weight_scale_inv=("F32", (2, 2))),
    ),
    "an fp8 weight without a scale": (FP8, weights("x", weight=("F8_E4M3", (128, 128)))),
    "a scale without an fp8 weight": (
        FP8,
        {
            **weights("y", weight=("F8_E4M3", (128, 128)), weight_scale_inv=("F32", (1, 1))),
            **weights("x", weight_scale_inv=("F32", (1, 1))),
        },
    ),
    "a scale beside an unpacked weight": (
        FP8,
        {
            **weights("y", weight=("F8_E4M3", (128, 128)), weight_scale_inv=("F32", (1, 1))),
            **weights("x", weight=("BF16", (128, 128)), weight_scale_inv=("F32", (1, 1))),
        },
    ),
    "mxfp4 blocks of another size": (
        {"quant_method": "mxfp4"}, {"x_blocks": ("U8", (4, 8, 2, 8)), "x_scales": ("U8", (4, 8, 2))},
    ),
    "mxfp4 scales of another shape": (
        {"quant_method": "mxfp4"}, {"x_blocks": ("U8", (4, 8, 2, 16)), "x_scales": ("U8", (4, 2, 8))},
    ),
    "mxfp4 blocks without scales": ({"quant_method": "mxfp4"}, {"x_blocks": ("U8", (4, 8, 2, 16))}),
    "int4 in other groups than the config says": (
        compressed("pack-quantized", INT4 | {"group_size": 64}), PACKED,
    ),
    "int4 that is said to be per channel": (compressed("pack-quantized", INT4 | {"strategy": "channel"}), PACKED),
    "int4 with zero points that the config denies": (
        compressed("pack-quantized", INT4), {**PACKED, "x.weight_zero_point": ("I32", (2, 2))},
    ),
    "int4 without the zero points that the config promises": (
        compressed("pack-quantized", INT4 | {"symmetric": False}), PACKED,
    ),
    "an order of other length": (
        compressed("pack-quantized", INT4), {**PACKED, "x.weight_g_idx": ("I32", (63,))},
    ),
    "a weight both packed and plain": (
        compressed("pack-quantized", INT4), {**PACKED, "x.weight": ("BF16", (16, 64))},
    ),
    "nvfp4 without its tensor scale": (
        {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        weights("x", weight=("U8", (16, 32)), weight_scale=("F8_E4M3", (16, 4))),
    ),
    "nvfp4 in groups of 32": (
        {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        weights(
            "x", weight=("U8", (16, 32)), weight_scale=("F8_E4M3", (16, 2)), weight_scale_2=("F32", ())
        ),
    ),
    "gptq with scales for other groups than zero points": (GPTQ, {**QWEIGHT, "x.scales": ("F16", (4, 16))}),
    "gptq that is ordered, without its order": (GPTQ | {"desc_act": True}, QWEIGHT),
    "gptq without scales": (GPTQ, {key: value for key, value in QWEIGHT.items() if "scales" not in key}),
    "gptq with an order of other length": (GPTQ, {**QWEIGHT, "x.g_idx": ("I32", (65,))}),
    "awq in gptq's shape": (AWQ, QWEIGHT),
}  # fmt: skip


@pytest.mark.parametrize(("block", "tensors"), MISFITS.values(), ids=MISFITS.keys())
def test_what_does_not_fit_is_refused_by_the_tensors_name(block: Mapping[str, Any], tensors: Shapes) -> None:
    with pytest.raises(IncompleteCover, match=r"'x[._]"):
        unpacked(checkpoint(block, tensors))


UNREAD: Mapping[str, tuple[Mapping[str, Any] | None, Shapes, str]] = {
    "no method": (None, weights("x", weight=("F8_E4M3", (128, 128))), "F8_E4M3"),
    "a method that nobody knows": ({"quant_method": "spqr"}, PACKED, "spqr"),
    "scales without a config": (None, weights("x", weight_scale_inv=("F32", (1, 1))), "fp8"),
    "a method without packed tensors": (FP8, weights("x", weight=("BF16", (4, 4))), "no tensor is packed"),
    "a sparse checkpoint": (
        compressed("pack-quantized", INT4, sparsity_config={"format": "sparse-24-bitmask"}), PACKED, "sparse-24",
    ),
    "a rotated checkpoint": (
        compressed("pack-quantized", INT4, transform_config={"config_groups": {"u": {}}}), PACKED, "rotated",
    ),
    "another format": (compressed("marlin-24", INT4), PACKED, "marlin-24"),
    "weights that are not compressed": (
        compressed("pack-quantized", INT4, quantization_status="frozen"), PACKED, "frozen",
    ),
    "three bits": (compressed("pack-quantized", INT4 | {"num_bits": 3}), PACKED, "3 bits"),
    "a strategy nobody knows": (compressed("pack-quantized", INT4 | {"strategy": "row"}), PACKED, "row"),
    "floats with zero points": (
        compressed("float-quantized", {"num_bits": 8, "type": "float", "symmetric": False, "strategy": "channel"}),
        PACKED, "zero points",
    ),
    "words that ought to be floats": (
        compressed("nvfp4-pack-quantized", INT4 | {"type": "float", "group_size": 16}), PACKED, "stored as I32",
    ),
    "two groups that fit alike": (
        compressed("mixed-precision", INT4) | {"config_groups": {
            "a": {"targets": ["re:.*"], "weights": INT4},
            "b": {"targets": ["Linear"], "weights": INT4 | {"num_bits": 8, "group_size": 16}},
        }}, PACKED, "several config groups",
    ),
    "groups that are a list": (compressed("pack-quantized", {}) | {"config_groups": []}, PACKED, "config_groups"),
    "groups without weights": (
        compressed("pack-quantized", {}) | {"config_groups": {"a": {"weights": None}}}, PACKED, "no config group",
    ),
    "another algorithm": ({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"}, PACKED, "W4A8_AWQ"),
    "inputs that are scaled": (
        {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        weights("x", pre_quant_scale=("F32", (64,))), "before the weights",
    ),
    "gptq in other groups": (
        GPTQ | {"group_size": 16}, QWEIGHT, "'x.qweight'.*prove 4 bits in 2 groups of 64.*4 bits in .* 16",
    ),
    "gptq of other bits": (
        GPTQ | {"bits": 8}, QWEIGHT, "'x.qweight'.*prove 4 bits in 2 groups of 64.*declares 8 bits in .* 32",
    ),
    "gptq of eight bits that no rule speaks of": (
        GPTQ | {"dynamic": {"-:.*x.*": {"bits": 8}, "+:.*": {"group_size": 64}}},
        weights("x", qweight=("I32", (16, 16)), qzeros=("I32", (2, 4)), scales=("F16", (2, 16))),
        "prove 8 bits in 2 groups of 64 inputs; the config declares 4 bits in .* 32 or 4 bits in .* 64",
    ),
    "gptq whose groups may be two sizes": (
        GPTQ | {"dynamic": {".*y.*": {"group_size": 40}}}, QWEIGHT, "fits groups of 32 and 40, and no g_idx",
    ),
    "gptq with a rule of three bits": (GPTQ | {"dynamic": {"+:.*up.*": {"bits": 3}}}, QWEIGHT, "3 bits"),
    "auto-round without a packing format": (AUTO, QWEIGHT, "packing_format 'None' is not read"),
    "auto-round for another engine": (
        AUTO | {"packing_format": "auto_round:llm_compressor"}, QWEIGHT, "llm_compressor",
    ),
    "auto-round with floats": (
        AUTO | {"packing_format": "auto_round:auto_gptq", "data_type": "mx_fp"}, QWEIGHT, "data_type 'mx_fp'",
    ),
    "awq of eight bits": (AWQ | {"bits": 8}, QWEIGHT, "8 bits is not read"),
    "gptq of three bits": (GPTQ | {"bits": 3}, QWEIGHT, "3 bits is not read: its codes straddle words"),
    "gptq of another format": (GPTQ | {"checkpoint_format": "marlin"}, QWEIGHT, "marlin"),
    "gptq in groups of nothing": (GPTQ | {"group_size": 0}, QWEIGHT, "group_size"),
    "awq of another version": (AWQ | {"version": "gemv"}, QWEIGHT, "gemv"),
    "awq without zero points": (AWQ | {"zero_point": False}, QWEIGHT, "zero points"),
    "an MLX repo": (
        {"group_size": 64, "bits": 4, "mode": "mxfp4"},
        weights("x", weight=("U32", (16, 8)), scales=("BF16", (16, 1)), biases=("BF16", (16, 1))),
        "for MLX already .mxfp4, 4 bits in groups of 64",
    ),
    "an fp8 vector": (FP8, weights("x", weight=("F8_E4M3", (128,)), weight_scale=("F32", ())), "no matrix"),
    "scales of another dtype": (
        FP8, weights("x", weight=("F8_E4M3", (128, 128)), weight_scale_inv=("I32", (1, 1))), "I32",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("block", "tensors", "told"), UNREAD.values(), ids=UNREAD.keys())
def test_a_packing_that_is_not_read_is_refused_by_its_name(
    block: Mapping[str, Any] | None, tensors: Shapes, told: str
) -> None:
    with pytest.raises(UnknownPacking, match=told):
        unpacked(checkpoint(block, tensors))


def test_groups_of_different_formats_are_told_apart_by_what_is_stored() -> None:
    fp8 = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}
    groups = {"a": {"targets": ["re:(x+x+)+y"], "weights": INT4}, "b": {"targets": ["Linear"], "weights": fp8}}
    block = compressed("mixed-precision", INT4) | {"config_groups": groups}
    tensors = {**PACKED, **weights("y", weight=("F8_E4M3", (16, 64)), weight_scale=("F32", (16, 1)))}
    found = unpacked(checkpoint(block, tensors))
    assert {name: packed.packing for name, packed in found.packed.items()} == {
        "x.weight": "pack-quantized", "y.weight": "float-quantized",
    }  # fmt: skip
    assert found.name == "float-quantized+pack-quantized"


@pytest.mark.parametrize("said", [{"dtype": "float16"}, {"text_config": {"torch_dtype": "float16"}}])
def test_a_packed_weight_counts_as_the_dtype_that_the_model_was_trained_in(said: Mapping[str, Any]) -> None:
    found = unpacked(checkpoint(FP8, weights("x", weight=("F8_E4M3", (8, 8)), scale=("F32", ())), **said))
    assert found.checkpoint.tensors["x.weight"].dtype == "F16"


def test_experts_in_fp4_beside_fp8_are_mxfp4() -> None:
    tensors = {
        **weights("x", weight=("I8", (16, 32)), scale=("F8_E8M0", (16, 2))),
        **weights("y", weight=("F8_E4M3", (128, 128)), scale=("F8_E8M0", (1, 1))),
    }
    found = unpacked(checkpoint(FP8, tensors))
    assert (found.packed["x.weight"].packing, found.packed["x.weight"].shape) == ("mxfp4", (16, 64))


@pytest.mark.parametrize("name", FUSED)
def test_fused_experts_keep_their_names(name: str, tmp_path: Path) -> None:
    made = write("qwen3_moe/v5", FUSED[name], tmp_path)
    found = unpacked(look(made.packed).checkpoint)
    assert found.packed["model.layers.0.mlp.experts.gate_up_proj"].shape == (8, 256, 64)


@pytest.mark.parametrize(
    ("spelling", "form"),
    [
        ("compressed_tensors", "pack-quantized int4"),
        ("auto_round", "auto-round"),
        ("intel/auto-round", "auto-round"),
        ("modelopt_fp4", "modelopt nvfp4"),
        ("FP8", "fp8 blocks"),
    ],
)
def test_a_method_is_known_by_any_of_its_spellings(spelling: str, form: str, tmp_path: Path) -> None:
    made = write("qwen3_moe/orig", FORMS[form], tmp_path)
    expected = look(made.packed).layout.packing
    rewrite(made.packed, read_packed(made.packed), quant_method=spelling)
    assert look(made.packed).layout.packing == expected


SIDECAR_FORMS = {
    "quantize_config.json": "gptq in order",
    "quant_config.json": "awq",
    "quantization_config.json": "auto-round",
    "hf_quant_config.json": "modelopt nvfp4",
}


def move_block(folder: Path, name: str, *without: str, **changes: Any) -> None:
    """Take the quantization out of config.json into a file of its own; with `changes` the config keeps it too."""
    config = json.loads((folder / "config.json").read_text())
    block = config["quantization_config"]
    if not changes:
        del config["quantization_config"]
        (folder / "config.json").write_text(json.dumps(config))
    told = {key: value for key, value in (block | changes).items() if key not in without}
    (folder / name).write_text(json.dumps(told))


@pytest.mark.parametrize(("name", "form"), SIDECAR_FORMS.items())
def test_settings_in_a_file_of_their_own_are_read(name: str, form: str, tmp_path: Path) -> None:
    made = write("qwen3_moe/orig", FORMS[form], tmp_path)
    expected = look(made.packed)
    without = () if name == "quantization_config.json" else ("quant_method",)
    move_block(made.packed, name, *without)
    found = look(made.packed)
    assert found.layout.packing == expected.layout.packing
    assert unpacked(found.checkpoint).packed == unpacked(expected.checkpoint).packed


def test_awqs_own_words_for_bits_and_groups_are_read(tmp_path: Path) -> None:
    made = write("qwen3_moe/orig", FORMS["awq"], tmp_path)
    move_block(made.packed, "quant_config.json")
    told = {"zero_point": True, "q_group_size": 32, "w_bit": 4, "version": "GEMM"}
    (made.packed / "quant_config.json").write_text(json.dumps(told))
    assert look(made.packed).layout.packing == "awq"


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("quantize_config.json", {"bits": 8}, "config.json says bits '4', quantize_config.json says '8'"),
        ("quantize_config.json", {"group_size": 128}, "says group_size '32', quantize_config.json says '128'"),
        ("quantize_config.json", {"checkpoint_format": "gptq_v2"}, "checkpoint_format 'gptq'"),
        ("quant_config.json", {"quant_method": "awq"}, "quant_method 'gptq', quant_config.json says 'awq'"),
    ],
)
def test_a_file_that_contradicts_the_config_is_refused_naming_both(
    name: str, changes: Mapping[str, Any], told: str, tmp_path: Path
) -> None:
    made = write("qwen3_moe/orig", FORMS["gptq"], tmp_path)
    move_block(made.packed, name, desc_act=False)
    assert look(made.packed).layout.packing == "gptq"
    (made.packed / name).unlink()
    move_block(made.packed, name, **changes)
    with pytest.raises(UnknownPacking, match=told):
        look(made.packed)


def test_a_sidecar_beside_weights_that_are_not_packed_is_passed_over(tmp_path: Path) -> None:
    made = write("qwen3_moe/orig", FORMS["gptq"], tmp_path)
    (made.plain / "quantize_config.json").write_text(json.dumps(GPTQ))
    assert look(made.plain).layout.packing == "none"


@pytest.mark.parametrize("dtype", ["I64", "BOOL"])
def test_a_table_of_integers_is_no_packing(dtype: str) -> None:
    table = {"model.layers.0.mlp.gate.tid2eid": (dtype, (16, 2))}
    plain = {**weights("x", weight=("BF16", (4, 4))), **table}
    assert unpacked(checkpoint(None, plain)).name == "none"
    packed = {**weights("x", weight=("F8_E4M3", (8, 8)), scale=("F32", ())), **table}
    assert set(unpacked(checkpoint(FP8, packed)).checkpoint.tensors) == {"x.weight", *table}


def test_other_bits_than_a_group_declares_are_named() -> None:
    eight = compressed("pack-quantized", INT4 | {"num_bits": 8})
    with pytest.raises(IncompleteCover, match=r"says 8 bits and one scale per group 32, the shapes prove 4 bits"):
        unpacked(checkpoint(eight, PACKED))


@pytest.mark.parametrize(
    "name", ["gptq with 8 bits for down", "auto-round", "pack-quantized int4 in order", "awq"]
)
def test_a_quantized_output_layer_and_router_are_read_like_any_weight(name: str, tmp_path: Path) -> None:
    def takes(key: str, value: Any) -> bool:
        return is_linear(key, value) or key in {"lm_head.weight", "model.layers.0.mlp.gate.weight"}

    made = write("qwen3_moe/orig", FORMS[name], tmp_path, takes)
    source = look(made.packed)
    found = unpacked(source.checkpoint)
    assert {"lm_head.weight", "model.layers.0.mlp.gate.weight"} <= set(found.packed)
    tensors = SourceTensors(made.packed, source.checkpoint)
    for key in ("lm_head.weight", "model.layers.0.mlp.gate.weight"):
        assert np.array_equal(tensors.floats(key, 0, len(made.values[key])), made.values[key])


def test_a_shape_without_its_codes_is_still_refused() -> None:
    orphan = {**PACKED, "y.weight_shape": ("I64", (2,))}
    with pytest.raises(IncompleteCover, match=r"y\.weight_shape"):
        unpacked(checkpoint(compressed("pack-quantized", INT4), orphan))


def test_a_block_in_a_file_of_modelopt_is_read_where_the_config_has_none(tmp_path: Path) -> None:
    made = write("qwen3_moe/orig", FORMS["modelopt nvfp4"], tmp_path)
    path = made.packed / "config.json"
    config = json.loads(path.read_text())
    del config["quantization_config"]
    path.write_text(json.dumps(config))
    described = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "group_size": 16}}
    (made.packed / "hf_quant_config.json").write_text(json.dumps(described))
    assert look(made.packed).layout.packing == "modelopt-nvfp4"


def test_an_unpacked_checkpoint_is_left_as_it_is() -> None:
    plain = checkpoint(None, weights("x", weight=("BF16", (4, 4))))
    found = unpacked(plain)
    assert (found.checkpoint, found.name) == (replace(plain), "none")
