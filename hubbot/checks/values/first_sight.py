"""Which groups fit at first sight: told by compiled kernels of the referee's own.

They are used only after a self-check, and only to find what is right: what does not fit is judged in numpy.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers import decoding
from hubbot.checks.readers.artifact_parameters import StoredParameter
from hubbot.checks.readers.tensor_files import Floats, Values, bits, narrow, widen
from hubbot.checks.values import fp4_fp8
from hubbot.checks.values.affine_codes import Groups, Mask, ends_of, fits, rounded, usual_fit

SEED: Final = 20_26
# Elements for which numba is worth importing.
COMPILED_FROM: Final = 32 << 20
# mode, bits, group size, whether there is a tensor scale.
_MODES: Final = (("mxfp4", 4, 32, False), ("mxfp8", 8, 32, False), ("nvfp4", 4, 16, False), ("nvfp4", 4, 16, True))
_WIDTHS: Final = (2, 3, 4, 5, 6, 8)
# What the bits of a float have where it is no number.
_EXPONENTS: Final = {"BF16": 0x7F80, "F16": 0x7C00, "F32": 0x7F800000}
_KINDS: Final = {"F32": 0, "BF16": 1, "F16": 2}
Parts = Mapping[str, npt.NDArray[Any]]


@dataclass(slots=True)
class _State:
    """The kernels once they are compiled and checked: the module compiled.py."""

    is_begun: bool = False
    kernels: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_state = _State()


def begin(elements: int) -> None:
    """Have the kernels ready where so many elements are to be compared that it is worth it; returns then."""
    with _state.lock:
        if _state.is_begun or elements < COMPILED_FROM:
            return
        _state.is_begun = True
        prepare()


def prepare() -> bool:
    """Compile and check the kernels; say whether they will be used from now on."""
    try:
        from hubbot.checks.values import compiled  # noqa: PLC0415 - numba takes 0.2 s

        _state.kernels = compiled if agrees(compiled) else None
    except Exception:  # noqa: BLE001 - numba missing or broken in any way: numpy judges alone
        return False
    return _state.kernels is not None


def left(parameter: StoredParameter, source: Values, parts: Parts, *, is_rounded: bool) -> Mask | None:
    """Return which groups of a quantized slice do not fit, bool [n]; None where no kernel can tell.

    `is_rounded` says that the source, [..., in], is to be rounded to bfloat16 first.
    """
    return (
        None if _state.kernels is None else _left(_state.kernels, parameter, source, parts, is_rounded=is_rounded)
    )


def is_copy(source: Values, raw: npt.NDArray[Any]) -> bool:
    """Say whether `raw` has the very bits of a float source, all numbers; False where no kernel can tell."""
    kernels, exponent = _state.kernels, _EXPONENTS.get(source.dtype)
    if kernels is None or exponent is None or raw.dtype.itemsize != source.raw.dtype.itemsize:
        return False
    one, other = (np.ascontiguousarray(bits(array)).reshape(-1) for array in (source.raw, raw))
    return bool(one.size == other.size and kernels.is_copy(one, other, exponent))


def decoded(parameter: StoredParameter, parts: Parts) -> Floats:
    """Return stored parts [..., words] of a quantized parameter as float32 [..., in], as decoding.decode does."""
    if _state.kernels is None:
        return decoding.decode(
            parts, mode=parameter.mode, bits=parameter.bits, group_size=parameter.group_size,
            scale_dtype=parameter.dtype,
        )  # fmt: skip
    return _decoded(_state.kernels, parameter, parts)


def _decoded(kernels: Any, parameter: StoredParameter, parts: Parts) -> Floats:
    stream, scales = _stream(parts), parts["scales"]
    out = np.empty((scales.size, parameter.group_size), np.float32)
    if parameter.mode == "affine":
        numbers = (_numbers(parts[name], parameter.dtype) for name in ("scales", "biases"))
        kernels.decode_affine(stream, parameter.bits, *numbers, out)
    else:
        values = fp4_fp8.scale_values(parameter.mode)[scales].reshape(-1)
        if (wholes := wholes_of(parts, scales.size)) is not None:
            values = values * (wholes / decoding.NVFP4_FULL_SCALE)
        table = decoding.E4M3 if parameter.bits == 8 else decoding.E2M1
        kernels.decode_micro(stream, parameter.bits, values, table, out)
    return out.reshape(*scales.shape[:-1], -1)


def _left(
    kernels: Any, parameter: StoredParameter, source: Values, parts: Parts, *, is_rounded: bool
) -> Mask | None:
    size, scales = parameter.group_size, parts["scales"]
    kernel = (kernels.AFFINE if parameter.mode == "affine" else kernels.MICRO).get(size)
    words = _words(source)
    whole = (
        words is not None
        and words.size == scales.size * size
        and _stream(parts).size * 8 == words.size * parameter.bits
    )
    if kernel is None or words is None or not whole:
        return None
    shift = 16 if words.dtype == np.uint16 else 0
    found = np.empty(scales.size, np.bool_)
    if parameter.mode == "affine":
        numbers = (_numbers(parts[name], parameter.dtype) for name in ("scales", "biases"))
        kind = _KINDS[parameter.dtype]
        kernel(words, shift, is_rounded, _stream(parts), parameter.bits, *numbers, kind, found)
    else:
        wholes = wholes_of(parts, scales.size)
        factors = np.ones(1, np.float32) if wholes is None else fp4_fp8.factors_of(wholes)
        codes, has_e4m3 = np.ascontiguousarray(scales).reshape(-1), parameter.mode == "nvfp4"
        kernel(
            words, shift, is_rounded, _stream(parts), parameter.bits, codes, _inverses(parameter.mode), factors,
            has_e4m3, found,
        )  # fmt: skip
    return ~found


def wholes_of(parts: Parts, groups: int) -> Floats | None:
    """Return the tensor scale of every group, float32 [groups], or None where there is none."""
    whole = parts.get("global_scale")
    return None if whole is None else np.repeat(whole.reshape(-1).astype(np.float32), groups // max(1, whole.size))


def _words(source: Values) -> npt.NDArray[Any] | None:
    """Return the bits of a source [n], of bfloat16 as uint16 and of float32 as uint32; None for other numbers."""
    if source.dtype not in _EXPONENTS:
        return None
    raw = source.floats() if source.dtype == "F16" else source.raw
    return np.ascontiguousarray(bits(raw)).reshape(-1)


def _stream(parts: Parts) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(parts["weight"]).reshape(-1).view(np.uint8)


def _numbers(raw: npt.NDArray[Any], dtype: str) -> Floats:
    return np.ascontiguousarray(widen(raw, dtype)).reshape(-1)


def _inverses(mode: str) -> Floats:
    values = np.resize(fp4_fp8.scale_values(mode), 256)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, 1 / values, np.float32(0)).astype(np.float32)


def agrees(kernels: Any) -> bool:
    """Say whether kernels judge and decode groups as numpy does, right and wrong ones, on hard groups."""
    affine = (
        _agrees(kernels, values, width, dtype)
        for values in _hard_groups()
        for width in _WIDTHS
        for dtype in ("BF16", "F16", "F32")
    )
    micro = (
        _micro_agrees(kernels, values.reshape(-1, size), mode, width, has_whole=has_whole)
        for values in _hard_groups()
        for mode, width, size, has_whole in _MODES
    )
    return all(affine) and all(micro) and _copies(kernels)


def _copies(kernels: Any) -> bool:
    """Say whether a kernel tells equal bits from others, and from what are no numbers."""
    one = np.arange(1, 300, dtype=np.uint16)
    other, odd = one.copy(), one.copy()
    other[-1] ^= 1
    odd[-1] = _EXPONENTS["BF16"]
    told = [kernels.is_copy(a, b, _EXPONENTS["BF16"]) for a, b in ((one, one.copy()), (one, other), (odd, odd))]
    return told == [True, False, False]


def _micro_agrees(kernels: Any, weights: Floats, mode: str, width: int, *, has_whole: bool) -> bool:
    """Compare on groups of which every third has a wrong code and every fifth a random scale."""
    random = np.random.default_rng(SEED)
    wholes = np.full(len(weights), 3, np.float32) if has_whole else None
    with np.errstate(all="ignore"):
        scales = fp4_fp8.usual_scales(weights, wholes, mode=mode, bits=width)
        scales[1::5] = random.integers(0, 256, len(scales[1::5]))
        codes = fp4_fp8.usual_codes(weights, scales, wholes, mode=mode, bits=width)
        codes[::3, 5] ^= 1
        groups = fp4_fp8.Groups(weights=weights, codes=codes, scales=scales, global_scales=wholes)
        packed = codes if width == 8 else codes[:, 0::2] | (codes[:, 1::2] << np.uint8(4))
        words = np.ascontiguousarray(packed).view(np.uint32)[None]
        parts: dict[str, npt.NDArray[Any]] = {"weight": words, "scales": scales[None, :, None]}
        if wholes is not None:
            parts["global_scale"] = wholes[:1]
        known = _parameter(mode, width, weights.shape[1], "U8")
        found = _left(kernels, known, Values(weights, "F32"), parts, is_rounded=False)
        if found is None or not _decodes_alike(kernels, known, parts):
            return False
        wanted = fp4_fp8.judge(groups, mode=mode, bits=width)
        rest = fp4_fp8.judge(groups.only(np.flatnonzero(found)), mode=mode, bits=width)
    wrong = np.flatnonzero(found)[rest.wrong]
    counted = [(seen.ties, seen.zeroed, seen.saturated) for seen in (wanted, rest)]
    return np.array_equal(wrong, np.flatnonzero(wanted.wrong)) and counted[0] == counted[1]


def _decodes_alike(kernels: Any, parameter: StoredParameter, parts: Parts) -> bool:
    usual = decoding.decode(
        parts,
        mode=parameter.mode,
        bits=parameter.bits,
        group_size=parameter.group_size,
        scale_dtype=parameter.dtype,
    )
    own = _decoded(kernels, parameter, parts)
    return own.shape == usual.shape and np.array_equal(own, usual, equal_nan=True)


def _hard_groups() -> Iterator[Floats]:
    """Yield weights float32 [64, 64] that quantizers stumble over."""
    normal = np.random.default_rng(SEED).normal(0, 1, (64, 64))
    kinds = (
        normal, np.repeat(normal[:, :1], 64, axis=1), np.abs(normal) + 100, -np.abs(normal) - 100, normal * 0,
        normal * 1e-40, normal * 1e-9, np.round(normal * 4) / 8, np.where(normal > 0, 3e38, 2e38),
        np.where(normal > 2, np.nan, normal), np.where(normal > 2, -np.inf, normal),
    )  # fmt: skip
    return (values.astype(np.float32) for values in kinds)


def _parameter(mode: str, width: int, size: int, dtype: str) -> StoredParameter:
    return StoredParameter(name="", shape=(), dtype=dtype, mode=mode, bits=width, group_size=size, parts=())


def _agrees(kernels: Any, weights: Floats, width: int, dtype: str) -> bool:
    """Compare on groups of which every third has a wrong code and every fifth a wrong scale, rounded and not."""
    steps = np.float32(2**width - 1)
    known = _parameter("affine", width, weights.shape[1], dtype)
    with np.errstate(all="ignore"):
        for is_rounded in (False, True):
            held = rounded(weights, "BF16") if is_rounded else weights
            fit = usual_fit(*ends_of(held), steps)
            codes = np.rint((held - fit.bias[:, None]) / fit.scale[:, None])
            codes = np.nan_to_num(np.clip(codes, 0, steps)).astype(np.uint8)
            codes[::3, 5] ^= 1
            scales, biases = (rounded(part, dtype).copy() for part in (fit.scale, fit.bias))
            scales[1::5] *= np.float32(1.25)
            scales = rounded(scales, dtype)
            groups = Groups(weights=held, codes=codes, scales=scales, biases=biases)
            wanted = fits(groups, fit, steps, dtype) & np.isfinite(weights).all(axis=1)
            streamed = np.packbits(
                np.unpackbits(codes.reshape(-1, 1), axis=1, bitorder="little")[:, :width].reshape(-1),
                bitorder="little",
            )
            stored = (narrow(part, dtype).reshape(-1, 1) for part in (scales, biases))
            stored = (
                part.view(np.dtype({"F16": np.float16, "F32": np.float32}.get(dtype, np.uint16)))
                for part in stored
            )
            parts = dict(
                zip(
                    ("weight", "scales", "biases"),
                    (streamed.view(np.uint32).reshape(64, -1), *stored),
                    strict=True,
                )
            )
            for source in (Values(weights, "F32"), Values(narrow(held, "BF16"), "BF16"))[: 2 if is_rounded else 1]:
                found = _left(kernels, known, source, parts, is_rounded=is_rounded)
                if found is None or not np.array_equal(~found, wanted):
                    return False
            if not _decodes_alike(kernels, known, parts):
                return False
    return True
