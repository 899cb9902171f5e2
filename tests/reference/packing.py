"""Packed spellings of the references' weights: encoded and decoded with numpy from the formats' own definitions.

It knows codes, scales and names on disk; it shares nothing with the package and computes no reference.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Stored = tuple[str, NDArray[Any]]

# OCP 8-bit floating point, E4M3 (finite only): sign, 4 exponent bits of bias 7, 3 mantissa bits; 0x7f is NaN.
E4M3 = np.array(
    [
        (code & 7) * 2.0**-9 if not code >> 3 else (1 + (code & 7) / 8) * 2.0 ** ((code >> 3) - 7)
        for code in range(0x7F)
    ],
    np.float32,
)
# OCP microscaling formats: the eight magnitudes of E2M1; a shared scale is a power of two, kept as exponent + 127.
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
NIBBLES = np.arange(8, dtype=np.uint32) * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """How a form packs: `pattern` says which tensors (whole names), `block` rows and columns that share a scale.

    `scales` is the dtype of the scales, `powers` keeps them to powers of two. `declared` is the config's
    quantization_config.
    """

    kind: str
    layout: str
    pattern: str
    declared: Mapping[str, Any]
    block: tuple[int, int] = (128, 128)
    scales: str = "F32"
    powers: bool = False
    dtype: str = "BF16"
    float32: tuple[str, ...] = field(default=("e_score_correction_bias",))


PROJECTIONS = r".*layers\.\d+\..*(?:_proj|_proj_with_mqa|experts\.\d+\.w[123])\.weight"
FUSED = PROJECTIONS + r"|.*\.experts\.(?:gate_up_proj|down_proj)"
_BLOCKS: dict[str, Any] = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic"}
_INT4: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
}


def _group(bits: int, kind: str, strategy: str, group_size: int | None) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": kind, "strategy": strategy, "symmetric": True, "group_size": group_size}
    return {"config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}}}


V4_PROJECTIONS = (
    r"layers\.\d+\.attn\.(?:wq_a|wq_b|wkv|wo_a|wo_b|indexer\.wq_b)\.weight"
    r"|layers\.\d+\.ffn\.(?:shared_experts|experts\.\d+)\.w[123]\.weight"
)
V4_EXPERTS = r"layers\.\d+\.ffn\.experts\.\d+\.w[123]\.weight"
V4_FLOAT32 = ("e_score_correction_bias", "position_bias", "sinks", "fn", "base", "scale")
_V4: dict[str, Any] = {**_BLOCKS, "scale_fmt": "ue8m0", "weight_block_size": [128, 128]}
PACKINGS: Mapping[str, Packing] = {
    "fp8": Packing(
        kind="fp8", layout="orig", pattern=PROJECTIONS, declared={**_BLOCKS, "weight_block_size": [128, 128]}
    ),
    "fp8_ragged": Packing(
        kind="fp8", layout="orig", pattern=PROJECTIONS, block=(48, 40), scales="BF16",
        declared={**_BLOCKS, "weight_block_size": [48, 40]},
    ),
    "fp8_ue8m0": Packing(
        kind="fp8", layout="orig", pattern=PROJECTIONS, powers=True,
        declared={**_BLOCKS, "scale_fmt": "ue8m0", "weight_block_size": [128, 128]},
    ),
    "fp8_fused": Packing(
        kind="fp8", layout="v5", pattern=FUSED, declared={**_BLOCKS, "weight_block_size": [128, 128]}
    ),
    "fp8_channel": Packing(
        kind="fp8_channel", layout="orig", pattern=PROJECTIONS, block=(1, 0), scales="BF16",
        declared={
            "quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"],
            "quantization_status": "compressed", **_group(8, "float", "channel", None),
        },
    ),
    "int4": Packing(
        kind="int4", layout="orig", pattern=r".*\.experts\.\d+\.\w+\.weight", block=(1, 32), scales="BF16",
        declared={**_INT4, **_group(4, "int", "group", 32)},
    ),
    "mxfp4": Packing(
        kind="mxfp4", layout="orig", pattern=r".*\.experts\.(?:gate_up_proj|down_proj)", block=(1, 32),
        declared={"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]},
    ),
    "mxfp4_pack": Packing(
        kind="mxfp4_pack", layout="orig", pattern=r".*\.experts\.\d+\.\w+\.weight", block=(1, 32),
        declared={
            **_INT4, "format": "mxfp4-pack-quantized", **_group(4, "float", "group", 32),
            "ignore": ["re:.*self_attn.*", "re:.*shared_experts.*", "re:.*lm_head.*"],
        },
        float32=("e_score_correction_bias", "A_log", "dt_bias"),
    ),
    # DeepSeek-V4 as published: e8m0 scales for 128 x 128, and experts as two e2m1 codes a signed byte.
    "fp8_e8m0": Packing(
        kind="fp8_e8m0", layout="orig", pattern=V4_PROJECTIONS, powers=True, declared=_V4, float32=V4_FLOAT32
    ),
    "fp4_e8m0": Packing(
        kind="fp4_e8m0", layout="orig", pattern=V4_PROJECTIONS, powers=True, declared=_V4, float32=V4_FLOAT32
    ),
}  # fmt: skip


def parts(packing: Packing, name: str, value: Floats) -> dict[str, Stored]:
    """The tensors that stand on disk for the weight `name`."""
    if packing.kind == "int4":
        return _int4(packing, name, value)
    if packing.kind == "mxfp4":
        return _mxfp4(name, value)
    if packing.kind == "mxfp4_pack":
        return _mxfp4_pack(name, value)
    if packing.kind == "fp4_e8m0" and re.fullmatch(V4_EXPERTS, name):
        return _fp4_e8m0(name, value)
    codes, scales = _fp8(packing, value)
    if packing.kind.endswith("e8m0"):
        exponents = (np.log2(scales) + 127).astype(np.uint8)
        return {name: ("F8_E4M3", codes), name.replace(".weight", ".scale"): ("F8_E8M0", exponents)}
    ending = "_scale" if packing.kind == "fp8_channel" else "_scale_inv"
    return {name: ("F8_E4M3", codes), name + ending: _floats(scales, packing.scales)}


def unpacked(packing: Packing, name: str, value: Floats) -> Floats:
    """The float32 values that the codes and scales of `value` stand for."""
    if not re.fullmatch(packing.pattern, name):
        return value
    if packing.kind == "int4":
        whole, scale = _grouped(packing, value)
        return np.reshape(whole * scale, value.shape)
    if packing.kind == "mxfp4":
        nibbles, exponents = _e2m1(value.swapaxes(-1, -2))
        signed = np.where(nibbles & 8, -E2M1[nibbles & 7], E2M1[nibbles & 7])
        turned = (signed * np.exp2(exponents.astype(np.float32))[..., None]).reshape(value.swapaxes(-1, -2).shape)
        return np.ascontiguousarray(turned.swapaxes(-1, -2))
    if packing.kind == "mxfp4_pack" or (packing.kind == "fp4_e8m0" and re.fullmatch(V4_EXPERTS, name)):
        nibbles, exponents = _e2m1(value)
        signed = np.where(nibbles & 8, -E2M1[nibbles & 7], E2M1[nibbles & 7])
        return np.reshape(signed * np.exp2(exponents.astype(np.float32))[..., None], value.shape)
    codes, scales = _fp8(packing, value)
    magnitude = E4M3[codes & 0x7F]
    restored: Floats = np.where(codes & 0x80, -magnitude, magnitude) * _spread(packing, scales, value.shape)
    return restored


def _fp8(packing: Packing, value: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Codes of `value`'s shape, and one scale a block."""
    *lead, rows, columns = value.shape
    height, width = packing.block[0], packing.block[1] or columns
    grid = (*lead, math.ceil(rows / height), math.ceil(columns / width))
    scales = np.zeros(grid, np.float32)
    for index in np.ndindex(*grid):
        *front, row, column = index
        part = value[
            (*front, slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width))
        ]
        scales[index] = max(float(np.abs(part).max()), 1e-8) / 448
    if packing.powers:
        scales = np.exp2(np.ceil(np.log2(scales))).astype(np.float32)
    scales = _rounded(scales, packing.scales)
    scaled = np.clip(value / _spread(packing, scales, value.shape), -448, 448)
    return _nearest(np.abs(scaled), E4M3).astype(np.uint8) | np.where(scaled < 0, 0x80, 0).astype(np.uint8), scales


def _spread(packing: Packing, scales: Floats, shape: tuple[int, ...]) -> Floats:
    rows = scales.repeat(packing.block[0], axis=-2)[..., : shape[-2], :]
    return rows.repeat(packing.block[1] or shape[-1], axis=-1)[..., : shape[-1]]


def _nearest(values: Floats, table: Floats) -> NDArray[np.int64]:
    """The index of the nearest entry of an ascending table; halfway between two it is the even one."""
    middle = (table[1:].astype(np.float64) + table[:-1]) / 2
    low, high = np.searchsorted(middle, values, "left"), np.searchsorted(middle, values, "right")
    return np.where(low % 2 == 0, low, high)


def _int4(packing: Packing, name: str, value: Floats) -> dict[str, Stored]:
    """compressed-tensors, pack-quantized: eight values an int32, lowest bits first, each with 8 added."""
    whole, scale = _grouped(packing, value)
    codes = (whole.reshape(value.shape[0], -1, 8) + 8).astype(np.uint32)
    words = (codes << NIBBLES).sum(axis=-1, dtype=np.uint32)
    stem = name.removesuffix("weight")
    return {
        f"{stem}weight_packed": ("I32", words),
        f"{stem}weight_scale": _floats(scale[..., 0], packing.scales),
        f"{stem}weight_shape": ("I64", np.array(value.shape, np.int64)),
    }


def _grouped(packing: Packing, value: Floats) -> tuple[Floats, Floats]:
    groups = value.reshape(value.shape[0], -1, packing.block[1])
    scale = _rounded((np.abs(groups).max(axis=-1, keepdims=True) / 7.5).astype(np.float32), packing.scales)
    return np.clip(np.rint(groups / scale), -8, 7).astype(np.float32), scale


def _mxfp4(name: str, value: Floats) -> dict[str, Stored]:
    """gpt-oss: [E, in, out] is kept turned, [E, out, in / 32] blocks of 16 bytes, the low half of a byte first."""
    codes, exponents = _e2m1(value.swapaxes(-1, -2))
    pairs = codes.reshape(*codes.shape[:-1], 16, 2)
    return {
        f"{name}_blocks": ("U8", (pairs[..., 0] | pairs[..., 1] << 4).astype(np.uint8)),
        f"{name}_scales": ("U8", (exponents + 127).astype(np.uint8)),
    }


def _mxfp4_pack(name: str, value: Floats) -> dict[str, Stored]:
    """compressed-tensors, mxfp4-pack-quantized: bytes [out, in / 2], the low half first, scales [out, in / 32]."""
    codes, exponents = _e2m1(value)
    flat = codes.reshape(*value.shape[:-1], -1, 2)
    return {
        f"{name}_packed": ("U8", (flat[..., 0] | flat[..., 1] << 4).astype(np.uint8)),
        f"{name}_scale": ("U8", (exponents + 127).astype(np.uint8)),
    }


def _fp4_e8m0(name: str, value: Floats) -> dict[str, Stored]:
    """DeepSeek-V4's experts: bytes [out, in / 2] called int8, the low half first, scales [out, in / 32]."""
    codes, exponents = _e2m1(value)
    flat = codes.reshape(*value.shape[:-1], -1, 2)
    return {
        name: ("I8", (flat[..., 0] | flat[..., 1] << 4).astype(np.uint8).view(np.int8)),
        name.replace(".weight", ".scale"): ("F8_E8M0", (exponents + 127).astype(np.uint8)),
    }


def _e2m1(value: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Codes [..., groups, 32] and exponents [..., groups] of the last axis."""
    groups = value.reshape(*value.shape[:-1], -1, 32)
    largest = np.maximum(np.abs(groups).max(axis=-1), 1e-20)
    exponents = np.floor(np.log2(largest)).astype(np.int64) - 2
    scaled = groups / np.exp2(exponents.astype(np.float32))[..., None]
    return _nearest(np.minimum(np.abs(scaled), 6), E2M1) | np.where(scaled < 0, 8, 0), exponents


def _rounded(values: Floats, dtype: str) -> Floats:
    if dtype == "F32":
        return values
    bits = values.view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return nearest.view(np.float32)


def _floats(values: Floats, dtype: str) -> Stored:
    if dtype == "F32":
        return "F32", values
    return dtype, (values.view(np.uint32) >> np.uint32(16)).astype("<u2")
