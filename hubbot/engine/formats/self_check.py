"""Groups that quantizers stumble over, on which a faster path must give the bits of the definitions.

It judges the two functions that it is given and chooses nothing.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hubbot.engine.floats import RAW, NotFinite, fits_float16, from_float32
from hubbot.engine.formats import affine, microscaling

Raw = npt.NDArray[Any]
Parts = dict[str, Raw]
WIDTHS: Final = (2, 3, 4, 5, 6, 8)
GROUP_SIZES: Final = (32, 64, 128)
SCALE_DTYPES: Final = ("BF16", "F16", "F32")
# NaN and infinity of either sign.
_NO_NUMBERS: Final = (0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000)


def first_fault(
    quantize_affine: Callable[..., list[Parts]], quantize_microscaling: Callable[..., Parts], dtype: str
) -> str | None:
    """Return what is first computed otherwise than defined, or None, in every format for weights of `dtype`.

    The functions take and return what `affine.quantize` and `microscaling.quantize` do, and raise NotFinite.
    """
    for kind, raw in hard_groups(dtype).items():
        for what in _affine_faults(quantize_affine, raw, dtype):
            return f"{what}, {kind}"
        for what in _microscaling_faults(quantize_microscaling, raw, dtype):
            return f"{what}, {kind}"
    affine_4bit = functools.partial(quantize_affine, group_size=64, widths=(4,), scale_dtype="BF16")
    for compute in (affine_4bit, functools.partial(quantize_microscaling, mode="mxfp8")):
        if not all(_refuses(compute, bits, dtype) for bits in _NO_NUMBERS):
            return f"NaN or infinity is overlooked in {dtype}"
    return None


def hard_groups(dtype: str) -> dict[str, Raw]:
    """Return bits [2, n] of `dtype` by what is hard about quantizing them."""
    random = np.random.default_rng(2026)
    normal = random.normal(0, 1, (2, 1024))
    signs = np.where(np.arange(1024) % 2, -1, 1)
    e2m1 = np.resize([6, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5], 1024) * signs
    steps = np.resize([0, 255, *np.arange(0.5, 15)], 1024)
    largest = 65504.0 if dtype == "F16" else 3.3e38
    every = random.integers(0, 1 << (32 if dtype == "F32" else 16), (2, 4096), dtype=np.uint64).astype(RAW[dtype])
    made = {
        "normal": normal * 0.02,
        "constant": np.repeat(random.normal(0, 1, (2, 16)), 64, axis=1),
        "one-signed": np.stack([100 + normal[0], -100 + normal[1]]),
        "zeros": np.stack([np.zeros(1024), np.full(1024, -0.0)]),
        "subnormal": normal * (2e-7 if dtype == "F16" else 1e-39),
        "tiny": normal * 1e-7,
        "ties of e2m1": np.stack([e2m1, e2m1 * 2.0**-9]),
        "ties of e4m3": (1 + (2 * random.integers(0, 8, (2, 1024)) + 1) / 16) * signs,
        "ties of affine codes": np.stack([steps, -steps / 64]),
        "largest": np.stack([np.full(1024, largest) * signs, np.full(1024, largest)]),
        "every magnitude": normal * np.exp2(random.integers(-20, 12, (2, 1024))),
    }
    found = {
        name: from_float32(np.clip(values, -largest, largest).astype(np.float32), dtype)
        for name, values in made.items()
    }
    return {**found, "any bits": np.where(_is_finite(every, dtype), every, 0).astype(RAW[dtype])}


def _affine_faults(quantize: Callable[..., list[Parts]], raw: Raw, dtype: str) -> Iterator[str]:
    for scale_dtype in SCALE_DTYPES:
        if scale_dtype == "F16" and not fits_float16(raw, dtype):
            continue  # refused before it is quantized
        for size in GROUP_SIZES:
            found = quantize(raw, dtype, group_size=size, widths=WIDTHS, scale_dtype=scale_dtype)
            wanted = affine.quantize(raw, dtype, group_size=size, widths=WIDTHS, scale_dtype=scale_dtype)
            for bits, one, other in zip(WIDTHS, found, wanted, strict=True):
                if not _same(one, other):
                    yield f"affine {bits} bits, groups of {size}, {dtype} to {scale_dtype}"


def _microscaling_faults(quantize: Callable[..., Parts], raw: Raw, dtype: str) -> Iterator[str]:
    cases: list[tuple[str, Any]] = [(mode, None) for mode in microscaling.SHAPES]
    for mode, largest in [*cases, ("nvfp4", microscaling.largest_magnitudes(raw, dtype))]:
        wanted = microscaling.quantize(raw, dtype, mode=mode, largest=largest)
        if not _same(quantize(raw, dtype, mode=mode, largest=largest), wanted):
            yield f"{mode}, {dtype}" + ("" if largest is None else " with a tensor scale")


def _refuses(compute: Callable[..., object], bits: int, dtype: str) -> bool:
    raw = np.zeros((2, 128), np.uint32)
    raw[1, 77] = bits
    try:
        compute(raw if dtype == "F32" else from_float32(raw.view(np.float32), dtype), dtype)
    except NotFinite:
        return True
    return False


def _is_finite(raw: Raw, dtype: str) -> npt.NDArray[np.bool_]:
    exponent = {"F32": 0x7F800000, "F16": 0x7C00, "BF16": 0x7F80}[dtype]
    found: npt.NDArray[np.bool_] = (raw & exponent) != exponent
    return found


def _same(one: Parts, other: Parts) -> bool:
    return one.keys() == other.keys() and all(
        part.dtype == other[name].dtype and np.array_equal(part, other[name]) for name, part in one.items()
    )
