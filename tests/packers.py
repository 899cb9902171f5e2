"""An independent packer of every packing that hubbot reads: a weight in, what stands on disk and its values out.

Written from the formats' descriptions with numpy alone, slowly; it imports nothing of hubbot.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.reference.checkpoints import Floats, round_bf16

Stored = dict[str, tuple[str, NDArray[Any]]]
E2M1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
AWQ_COLUMN_OF_NIBBLE = [0, 2, 4, 6, 1, 3, 5, 7]


def e4m3_value(code: int) -> float:
    """One e4m3 code by the letter of the OCP specification."""
    sign, exponent, mantissa = code >> 7, (code >> 3) & 0xF, code & 0x7
    if exponent == 0xF and mantissa == 0x7:
        return float("nan")
    size = mantissa * 2.0**-9 if exponent == 0 else (8 + mantissa) * 2.0 ** (exponent - 10)
    return -size if sign else size


E4M3 = np.array([e4m3_value(code) for code in range(256)], np.float32)
_MAGNITUDES = E4M3[:127].astype(np.float64)


def to_e4m3(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The nearest e4m3 codes."""
    size = np.minimum(np.abs(values), 448.0)
    above = np.clip(np.searchsorted(_MAGNITUDES, size), 1, 126)
    code = np.where(size - _MAGNITUDES[above - 1] < _MAGNITUDES[above] - size, above - 1, above)
    signed: NDArray[np.uint8] = (code + np.where(np.signbit(values), 128, 0)).astype(np.uint8)
    return signed


def to_e2m1(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The nearest e2m1 codes."""
    distance = np.abs(np.abs(values)[..., None] - np.array(E2M1))
    codes: NDArray[np.uint8] = (distance.argmin(axis=-1) + np.where(np.signbit(values), 8, 0)).astype(np.uint8)
    return codes


def e2m1_values(codes: NDArray[Any]) -> Floats:
    table = np.array([*E2M1, *(-size for size in E2M1)], np.float32)
    values: Floats = table[codes]
    return values


def nibble_pairs(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two codes a byte, the first in the lower half."""
    return (codes[..., 0::2] + 16 * codes[..., 1::2]).astype(np.uint8)


def words(codes: NDArray[Any], bits: int) -> NDArray[np.int32]:
    """Codes along the last axis in 32-bit words, the first in the lowest bits."""
    per_word = 32 // bits
    padded = np.zeros((*codes.shape[:-1], -(-codes.shape[-1] // per_word) * per_word), np.uint64)
    padded[..., : codes.shape[-1]] = codes
    grouped = padded.reshape(*codes.shape[:-1], -1, per_word)
    return sum_of(grouped << (np.arange(per_word, dtype=np.uint64) * np.uint64(bits)))


def sum_of(fields: NDArray[np.uint64]) -> NDArray[np.int32]:
    made: NDArray[np.int32] = fields.sum(axis=-1).astype(np.uint32).view(np.int32)
    return made


def awq_words(codes: NDArray[Any]) -> NDArray[np.int32]:
    grouped = codes.reshape(*codes.shape[:-1], -1, 8)[..., AWQ_COLUMN_OF_NIBBLE].astype(np.uint64)
    return sum_of(grouped << (np.arange(8, dtype=np.uint64) * np.uint64(4)))


@dataclass(frozen=True, kw_only=True)
class PackedWeight:
    """What stands on disk for one weight, by ending (in place of ".weight"), and the values a reader must find."""

    stored: Mapping[str, tuple[str, NDArray[Any]]]
    values: Floats


# The weight's name, its values, and where chance comes from.
Pack = Callable[[str, Floats, np.random.Generator], PackedWeight]


def floats_of(values: Floats, dtype: str) -> NDArray[Any]:
    if dtype == "BF16":
        return (round_bf16(values).view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(np.float16) if dtype == "F16" else values


def rounded(values: Floats, dtype: str) -> Floats:
    if dtype == "BF16":
        return round_bf16(values)
    return values.astype(np.float16).astype(np.float32) if dtype == "F16" else values


def powers(exponents: NDArray[Any]) -> Floats:
    return np.ldexp(np.float32(1), exponents.astype(np.int32) - 127)


def fp8_block(size: tuple[int, int], *, scale: str = "F32", ending: str = ".weight_scale_inv") -> Pack:
    """e4m3 with one scale for size[0] x size[1] weights; ragged at the edges."""

    def pack(name: str, values: Floats, _rng: np.random.Generator) -> PackedWeight:
        *lead, height, width = values.shape
        rows, columns = -(-height // size[0]), -(-width // size[1])
        scales = np.empty((*lead, rows, columns), np.float32)
        codes, made = np.empty(values.shape, np.uint8), np.empty_like(values)
        raw: NDArray[Any] = np.empty(scales.shape, np.uint8)
        for index in np.ndindex(*lead, rows, columns):
            *expert, row, column = index
            area = (
                *expert,
                slice(row * size[0], (row + 1) * size[0]),
                slice(column * size[1], (column + 1) * size[1]),
            )
            largest = np.abs(values[area]).max() / 448
            if scale in {"F8_E8M0", "U8"}:
                raw[index] = 127 + int(np.ceil(np.log2(largest)))
                scales[index] = powers(raw[index])
            else:
                scales[index] = rounded(np.float32(largest).reshape(1), scale)[0]
            codes[area] = to_e4m3(values[area] / np.float64(scales[index]))
            made[area] = E4M3[codes[area]] * scales[index]
        kept = (scale, raw) if scale in {"F8_E8M0", "U8"} else (scale, floats_of(scales, scale))
        return _with_scale(name, codes, kept, ending, made)

    return pack


def fp8_shared(shape: str, *, ending: str, scale: str = "F32") -> Pack:
    """e4m3 with a scale per "tensor" (rank 0), "one" (rank 1), "expert" [E, 1, 1] or "channel" [..., out, 1]."""

    def pack(name: str, values: Floats, _rng: np.random.Generator) -> PackedWeight:
        axes = {"tensor": None, "one": None, "expert": (-2, -1), "channel": -1}[shape]
        largest = np.abs(values).max(axis=axes, keepdims=True) / np.float32(448)
        scales = rounded(largest.astype(np.float32), scale)
        codes = to_e4m3(values / scales.astype(np.float64))
        kept = scales.reshape({"tensor": (), "one": (1,)}.get(shape, scales.shape))
        return _with_scale(name, codes, (scale, floats_of(kept, scale)), ending, E4M3[codes] * scales)

    return pack


def _with_scale(
    name: str, codes: NDArray[np.uint8], scale: tuple[str, NDArray[Any]], ending: str, made: Floats
) -> PackedWeight:
    # Fused experts have no ".weight": their endings are glued to the name.
    own, glued = (".weight", ending) if name.endswith(".weight") else ("", ending.replace(".weight", ""))
    return PackedWeight(stored={own: ("F8_E4M3", codes), glued: scale}, values=made)


def mx_groups(values: Floats) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Floats]:
    """e2m1 codes, biased exponents of groups of 32, and their values."""
    groups = values.reshape(*values.shape[:-1], -1, 32).astype(np.float64)
    # The specification's own choice: the exponent of the largest, less e2m1's.
    exponents = (np.floor(np.log2(np.abs(groups).max(axis=-1))) - 2 + 127).astype(np.uint8)
    codes = to_e2m1(groups / powers(exponents)[..., None])
    made = e2m1_values(codes) * powers(exponents)[..., None]
    return codes.reshape(values.shape), exponents, made.reshape(values.shape)


def mxfp4_blocks(_name: str, values: Floats, _rng: np.random.Generator) -> PackedWeight:
    """As gpt-oss stores it: of experts [E, in, out] the transposed, in blocks of 16 bytes."""
    codes, exponents, made = mx_groups(np.ascontiguousarray(values.swapaxes(-1, -2)))
    blocks = nibble_pairs(codes).reshape(*exponents.shape, 16)
    stored = {"_blocks": ("U8", blocks), "_scales": ("U8", exponents)}
    return PackedWeight(stored=stored, values=np.ascontiguousarray(made.swapaxes(-1, -2)))


def mxfp4_packed(_name: str, values: Floats, _rng: np.random.Generator) -> PackedWeight:
    codes, exponents, made = mx_groups(values)
    stored = {".weight_packed": ("U8", nibble_pairs(codes)), ".weight_scale": ("U8", exponents)}
    return PackedWeight(stored=stored, values=made)


def nvfp4(*, divides: bool) -> Pack:
    def pack(_name: str, values: Floats, _rng: np.random.Generator) -> PackedWeight:
        groups = values.reshape(*values.shape[:-1], -1, 16).astype(np.float64)
        largest = np.abs(groups).max(axis=-1)
        whole = np.float32(2688 / largest.max() if divides else largest.max() / 2688)
        of_group = largest / 6 * np.float64(whole) if divides else largest / 6 / np.float64(whole)
        scale_codes = np.maximum(to_e4m3(of_group), 1)
        scales = E4M3[scale_codes] / whole if divides else E4M3[scale_codes] * whole
        codes = to_e2m1(groups / scales[..., None].astype(np.float64)).reshape(values.shape)
        made = (e2m1_values(codes).reshape(groups.shape) * scales[..., None]).astype(np.float32)
        bytes_, whole_ = ("U8", nibble_pairs(codes)), ("F32", np.array([whole]))
        stored = {".weight_scale": ("F8_E4M3", scale_codes)}
        if divides:
            stored |= {".weight_packed": bytes_, ".weight_global_scale": whole_}
            stored[".input_global_scale"] = ("F32", np.ones(1, np.float32))
        else:
            stored |= {".weight": bytes_, ".weight_scale_2": ("F32", np.array(whole))}
            stored[".input_scale"] = ("F32", np.array(1, np.float32))
        return PackedWeight(stored=stored, values=made.reshape(values.shape))

    return pack


def integer_grid(
    values: Floats, bits: int, group: int | None, *, symmetric: bool, dtype: str, order: NDArray[Any] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
    """(unsigned codes [out, in], zero points [out, groups], scales [out, groups], values) of columns in groups."""
    width = values.shape[-1]
    index = np.arange(width) // (group or width) if order is None else order
    count = int(index.max()) + 1
    zeros = np.full((len(values), count), 1 << (bits - 1), np.int64)
    scales = np.empty(zeros.shape, np.float32)
    for number in range(count):
        some = values[:, index == number].astype(np.float64)
        low, high = np.minimum(some.min(axis=1), 0), np.maximum(some.max(axis=1), 0)
        reach = np.abs(some).max(axis=1) / (2 ** (bits - 1) - 1) if symmetric else (high - low) / (2**bits - 1)
        scales[:, number] = rounded(np.maximum(reach, 1e-6).astype(np.float32), dtype)
        if not symmetric:
            zeros[:, number] = np.clip(np.rint(-low / scales[:, number]), 0, 2**bits - 1)
    exact = np.rint(values / scales[:, index].astype(np.float64)) + zeros[:, index]
    codes = np.clip(exact, 0, 2**bits - 1).astype(np.int64)
    made = (codes - zeros[:, index]).astype(np.float32) * scales[:, index]
    return codes, zeros, scales, made


def pack_quantized(
    bits: int, group: int | None, *, symmetric: bool = True, dtype: str = "BF16", ordered: bool = False
) -> Pack:
    def pack(_name: str, values: Floats, rng: np.random.Generator) -> PackedWeight:
        width = values.shape[-1]
        order = rng.permutation(np.arange(width) // (group or width)) if ordered else None
        codes, zeros, scales, made = integer_grid(
            values, bits, group, symmetric=symmetric, dtype=dtype, order=order
        )
        stored: Stored = {
            ".weight_packed": ("I32", words(codes, bits)),
            ".weight_scale": (dtype, floats_of(scales, dtype)),
            ".weight_shape": ("I64", np.array(values.shape, np.int64)),
        }
        if not symmetric:
            stored[".weight_zero_point"] = ("I32", np.ascontiguousarray(words(zeros.T, bits).T))
        if order is not None:
            stored[".weight_g_idx"] = ("I32", order.astype(np.int32))
        return PackedWeight(stored=stored, values=made)

    return pack


def int_quantized(*, symmetric: bool) -> Pack:
    def pack(_name: str, values: Floats, _rng: np.random.Generator) -> PackedWeight:
        codes, zeros, scales, made = integer_grid(values, 8, None, symmetric=symmetric, dtype="F32")
        stored: Stored = {".weight": ("I8", (codes - 128).astype(np.int8)), ".weight_scale": ("F32", scales)}
        if not symmetric:
            stored[".weight_zero_point"] = ("I8", (zeros - 128).astype(np.int8))
        return PackedWeight(stored=stored, values=made)

    return pack


def gptq(bits: int, group: int, *, less: int, ordered: bool, symmetric: bool = False) -> Pack:
    def pack(_name: str, values: Floats, rng: np.random.Generator) -> PackedWeight:
        width = values.shape[-1]
        order = np.arange(width) // (width if group == -1 else group)
        order = rng.permutation(order) if ordered else order
        codes, zeros, scales, made = integer_grid(
            values, bits, group, symmetric=symmetric, dtype="F16", order=order
        )
        stored: Stored = {
            ".qweight": ("I32", np.ascontiguousarray(words(codes, bits).T)),
            ".qzeros": ("I32", words((zeros.T - less) % 2**bits, bits)),
            ".scales": ("F16", np.ascontiguousarray(scales.T).astype(np.float16)),
            ".g_idx": ("I32", order.astype(np.int32)),
        }
        return PackedWeight(stored=stored, values=made)

    return pack


def awq(group: int) -> Pack:
    def pack(_name: str, values: Floats, _rng: np.random.Generator) -> PackedWeight:
        codes, zeros, scales, made = integer_grid(values, 4, group, symmetric=False, dtype="F16")
        stored: Stored = {
            ".qweight": ("I32", awq_words(np.ascontiguousarray(codes.T))),
            ".qzeros": ("I32", awq_words(np.ascontiguousarray(zeros.T))),
            ".scales": ("F16", np.ascontiguousarray(scales.T).astype(np.float16)),
        }
        return PackedWeight(stored=stored, values=made)

    return pack


def by_name(packs: Mapping[str, Pack], rest: Pack) -> Pack:
    """A pack of its own for names that hold a word, for the others `rest`."""

    def pack(name: str, values: Floats, rng: np.random.Generator) -> PackedWeight:
        return next((found for word, found in packs.items() if word in name), rest)(name, values, rng)

    return pack


def without(ending: str, one: Pack) -> Pack:
    """The same pack without one of its parts."""

    def pack(name: str, values: Floats, rng: np.random.Generator) -> PackedWeight:
        made = one(name, values, rng)
        kept = {key: part for key, part in made.stored.items() if key != ending}
        return PackedWeight(stored=kept, values=made.values)

    return pack


def fused(one: Pack) -> Pack:
    """Every expert of a stack packed by itself, the parts stacked and their endings glued to the name."""

    def pack(name: str, values: Floats, rng: np.random.Generator) -> PackedWeight:
        if values.ndim < 3:
            return one(name, values, rng)
        made = [one(name, expert, rng) for expert in values]
        stored = {
            ending.replace(".weight", ""): (dtype, np.stack([part.stored[ending][1] for part in made]))
            for ending, (dtype, _) in made[0].stored.items()
        }
        return PackedWeight(stored=stored, values=np.stack([part.values for part in made]))

    return pack
