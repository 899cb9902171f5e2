from dataclasses import replace
from typing import Any

import mlx.core as mx
import pytest

from hubbot.catalogue.variants.named_variants import DEFAULT_VARIANTS, VARIANTS, Subject, encode
from hubbot.plans import Encoding

DESIGNED = (
    "fp32 fp16 bf16 8bit 6bit 5bit 4bit 3bit 2bit mxfp4 mxfp8 nvfp4 moe-2bit moe-3bit moe-4bit moe-mxfp4".split()  # noqa: SIM905
)
QUANTIZED = [name for name, variant in VARIANTS.items() if variant.is_quantized]
ROLES = (
    "expert",
    "router",
    "shared_expert_gate",
    "shared_expert",
    "attention",
    "dense_mlp",
    "embedding",
    "lm_head",
)
EXPERT = Subject(
    name="model.layers.0.mlp.switch_mlp.up_proj.weight", role="expert", shape=(8, 64, 128), source_dtype="BF16",
    main_dtype="BF16", quantizable=True, predicate=None, takes_global_scale=True,
)  # fmt: skip


def subject(role: str, **values: Any) -> Subject:
    made = replace(EXPERT, role=role, takes_global_scale=role == "expert")
    return replace(made, **values)


def test_the_variants_are_those_of_the_design() -> None:
    assert list(VARIANTS) == DESIGNED
    assert set(DEFAULT_VARIANTS) <= set(VARIANTS)


@pytest.mark.parametrize("role", ["router", "shared_expert_gate"])
@pytest.mark.parametrize("name", QUANTIZED)
def test_the_router_has_eight_bits_in_every_quantized_variant(name: str, role: str) -> None:
    encoding, reason = encode(subject(role), VARIANTS[name])
    assert encoding == Encoding(mode="affine", dtype="BF16", bits=8, group_size=64)
    assert reason is None


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_float32_router_stays_float32_and_the_reason_is_told(name: str) -> None:
    encoding, reason = encode(subject("router", source_dtype="F32"), VARIANTS[name])
    assert encoding == Encoding(mode="none", dtype="F32")
    assert "float32" in (reason or "")


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_a_float32_router_stays_float32_in_plain_variants_and_everything_else_does_not(name: str) -> None:
    kept, _ = encode(subject("router", source_dtype="F32"), VARIANTS[name])
    cast, _ = encode(subject("attention", source_dtype="F32"), VARIANTS[name])
    assert kept.dtype == "F32"
    assert cast.dtype == {"fp16": "F16", "bf16": "BF16"}[name]


@pytest.mark.parametrize(
    ("name", "expert", "rest"),
    [
        ("8bit", ("affine", 8, 64), ("affine", 8, 64)),
        ("4bit", ("affine", 4, 64), ("affine", 4, 64)),
        ("3bit", ("affine", 3, 64), ("affine", 3, 64)),
        ("2bit", ("affine", 2, 64), ("affine", 2, 64)),
        ("mxfp4", ("mxfp4", 4, 32), ("mxfp4", 4, 32)),
        ("mxfp8", ("mxfp8", 8, 32), ("mxfp8", 8, 32)),
        ("nvfp4", ("nvfp4", 4, 16), ("affine", 8, 64)),
        ("moe-2bit", ("affine", 2, 64), ("affine", 8, 64)),
        ("moe-3bit", ("affine", 3, 64), ("affine", 8, 64)),
        ("moe-4bit", ("affine", 4, 64), ("affine", 8, 64)),
        ("moe-mxfp4", ("mxfp4", 4, 32), ("affine", 8, 64)),
    ],
)
def test_routed_experts_and_the_rest_have_the_recipes_bits(
    name: str, expert: tuple[str, int, int], rest: tuple[str, int, int]
) -> None:
    for role in ROLES:
        if role in {"router", "shared_expert_gate"}:
            continue
        encoding, _ = encode(subject(role), VARIANTS[name])
        assert (encoding.mode, encoding.bits, encoding.group_size) == (expert if role == "expert" else rest)


def test_nvfp4_has_a_tensor_scale_on_experts_and_is_used_nowhere_without_one() -> None:
    assert encode(subject("expert"), VARIANTS["nvfp4"])[0].global_scale
    without, _ = encode(subject("expert", takes_global_scale=False), VARIANTS["nvfp4"])
    assert (without.mode, without.bits, without.global_scale) == ("affine", 8, False)
    others = [encode(subject(role), VARIANTS[name])[0] for role in ROLES for name in QUANTIZED]
    assert all((encoding.mode == "nvfp4") == encoding.global_scale for encoding in others)


@pytest.mark.parametrize("name", QUANTIZED)
@pytest.mark.parametrize("role", ["norm", "bias", "other"])
def test_norms_biases_and_the_unknown_are_never_quantized(name: str, role: str) -> None:
    assert encode(subject(role), VARIANTS[name]) == (Encoding(mode="none", dtype="BF16"), None)


@pytest.mark.parametrize(("width", "group"), [(128, 64), (96, 32), (32, 32), (48, None), (100, None), (1, None)])
@pytest.mark.parametrize("name", ["8bit", "4bit", "3bit", "moe-4bit"])
def test_affine_groups_fall_from_64_to_32_to_unquantized_with_a_reason(
    name: str, width: int, group: int | None
) -> None:
    encoding, reason = encode(subject("expert", shape=(8, 64, width)), VARIANTS[name])
    assert encoding.group_size == group
    assert (reason is None) == (group is not None)
    if group is None:
        assert encoding == Encoding(mode="none", dtype="BF16")
        assert str(width) in str(reason)


@pytest.mark.parametrize(
    ("name", "width", "quantized"),
    [("mxfp4", 48, False), ("mxfp8", 96, True), ("nvfp4", 48, True), ("nvfp4", 40, False)],
)
def test_the_other_modes_take_their_one_group_or_none(name: str, width: int, quantized: bool) -> None:
    encoding, _ = encode(subject("expert", shape=(8, 64, width)), VARIANTS[name])
    assert encoding.is_quantized is quantized


def test_every_encoding_is_one_that_mx_quantize_takes() -> None:
    for name in QUANTIZED:
        for width in (32, 64, 96, 128):
            encoding, _ = encode(subject("expert", shape=(2, 4, width)), VARIANTS[name])
            weight, *_ = mx.quantize(
                mx.zeros((2, 4, width)), group_size=encoding.group_size, bits=encoding.bits, mode=encoding.mode
            )
            assert weight.shape[-1] * 32 == width * (encoding.bits or 0)


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_predicate_that_says_no_is_honoured_for_every_role(name: str) -> None:
    for role in ROLES:
        encoding, reason = encode(subject(role, predicate=False), VARIANTS[name])
        assert not encoding.is_quantized
        assert "predicate" in str(reason)


def test_a_predicate_that_asks_for_more_bits_gets_them_and_one_that_asks_for_fewer_does_not() -> None:
    more, _ = encode(subject("attention", predicate={"bits": 8, "group_size": 32}), VARIANTS["4bit"])
    assert (more.mode, more.bits, more.group_size) == ("affine", 8, 32)
    fewer, _ = encode(subject("router", predicate={"bits": 4, "group_size": 64}), VARIANTS["3bit"])
    assert fewer.bits == 8


def test_a_layer_that_cannot_be_quantized_keeps_its_dtype() -> None:
    assert encode(subject("attention", quantizable=False), VARIANTS["4bit"]) == (
        Encoding(mode="none", dtype="BF16"), None,
    )  # fmt: skip


@pytest.mark.parametrize(("main", "dtype"), [("BF16", "BF16"), ("F16", "F16"), ("F32", "BF16")])
def test_quantized_variants_keep_a_16_bit_sources_dtype_and_bring_float32_down_to_bfloat16(
    main: str, dtype: str
) -> None:
    norm, _ = encode(subject("norm", source_dtype=main, main_dtype=main), VARIANTS["4bit"])
    scales, _ = encode(subject("attention", source_dtype=main, main_dtype=main), VARIANTS["4bit"])
    assert norm.dtype == scales.dtype == dtype


@pytest.mark.parametrize(("name", "dtype"), [("fp32", "F32"), ("fp16", "F16"), ("bf16", "BF16")])
def test_plain_variants_have_their_own_dtype_and_quantize_nothing(name: str, dtype: str) -> None:
    assert {encode(subject(role), VARIANTS[name])[0] for role in ROLES} == {Encoding(mode="none", dtype=dtype)}


def test_a_tensor_that_is_no_float_keeps_its_dtype() -> None:
    assert encode(subject("other", source_dtype="I64", quantizable=False), VARIANTS["fp16"])[0].dtype == "I64"
