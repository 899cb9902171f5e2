"""Is this group what mxfp4, mxfp8 or nvfp4 makes of these weights? Answered from the source, without mlx.

The arithmetic in float32 is that of mlx (backend/metal/kernels/fp_quantized.h, fp4.h, fp8.h): scale =
largest / 6 (e2m1) or / 448 (e4m3), stored as the next power of two (mx) or as e4m3 (nvfp4, after a factor of
448 * 6 / global_scale where there is one); code = the element nearest to weight / scale. Which way a tie goes,
whether a power of two is rounded up or to the nearest, and -0 for 0 differ between devices and versions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hubbot.checks.readers.decoding import E2M1, E4M3, E8M0, NVFP4_FULL_SCALE
from hubbot.checks.readers.packed_words import Codes
from hubbot.checks.readers.tensor_files import Floats, narrow, widen
from hubbot.checks.values.affine_codes import Mask

TIE: Final = np.float32(2.0**-16)
# In octaves: a scale computed in 16 bits may pass a power of two by as much.
TIE_OCTAVES: Final = 0.01
E8M0_BIAS: Final = 127
# A float's bits above these decide: between two elements lies one number of at most four fraction bits.
_DROPPED: Final = np.uint32(19)
_ABOVE: Final = np.uint32((1 << 19) - 1)
# The largest code of a scale that is a number.
LAST_SCALE: Final = {"e8m0": 254, "e4m3": 126}
# Past this the largest weights of a group are clipped further than rounding the scale explains.
SATURATED: Final = np.float32(1.07)
# What it may cost to store a tensor's scale another way: three roundings to float32.
WHOLE_ROUNDING: Final = np.float32(2.0**-22)
# Below this a float32 quotient loses bits or becomes zero, differently on every device.
SMALLEST: Final = np.float32(2.0**-100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A small float format: its largest value, the code bit of its sign, and two look-ups by a float's top bits.

    `below` counts the midpoints of neighbouring values that are smaller than a number, `upto` also equal ones.
    """

    largest: np.float32
    sign: np.uint8
    below: Codes
    upto: Codes
    is_ieee: bool


def _element(values: Floats, sign: int) -> Element:
    finite = values[np.isfinite(values)].astype(np.float64)
    middles = (finite[1:] + finite[:-1]) / 2
    # Past infinity there are no numbers to look up.
    keys = np.minimum(np.arange(1 << 12, dtype=np.uint32), np.uint32(0xFF0)) << _DROPPED
    tops = keys.view(np.float32)
    return Element(
        largest=np.float32(finite[-1]),
        sign=np.uint8(sign),
        below=np.searchsorted(middles, tops, side="left").astype(np.uint8),
        upto=np.searchsorted(middles, tops, side="right").astype(np.uint8),
        is_ieee=sign == 128,
    )


ELEMENTS: Final = {4: _element(E2M1[:8], 8), 8: _element(E4M3[:128], 128)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Groups of one slice: weights and codes [n, group], one-byte scales [n], global scales [n] or None."""

    weights: Floats
    codes: Codes
    scales: Codes
    global_scales: Floats | None

    def only(self, which: npt.NDArray[np.intp]) -> "Groups":
        """Return the groups `which`, positions [some]."""
        return Groups(
            weights=self.weights[which],
            codes=self.codes[which],
            scales=self.scales[which],
            global_scales=None if self.global_scales is None else self.global_scales[which],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Groups that are `wrong`, those explained by `ties`, and scales that are zero or the largest there is."""

    wrong: Mask
    ties: int
    zeroed: int
    saturated: int


def judge(groups: Groups, *, mode: str, bits: int) -> Seen:
    """Return which groups are not the quantized weights, and what is odd about the others."""
    element = ELEMENTS[bits]
    scales = _scales_of(groups, element, mode)
    return _seen(scales, _fit_at_once(scales.quotients(groups.weights, None), groups.codes, element), groups.only)


def _seen(scales: "_Scales", fits: Mask, only: Callable[[npt.NDArray[np.intp]], Groups]) -> Seen:
    """Judge groups of which `fits` have the usual codes; `only` returns some of them."""
    wrong = ~(scales.right(None) & fits & np.isfinite(scales.largest))
    ties = 0
    suspects = np.flatnonzero(wrong)
    if len(suspects):
        some = only(suspects)
        explained = _explained(some, _scales_of(some, scales.element, scales.mode), scales.element)
        explained &= np.isfinite(scales.largest[suspects])
        wrong[suspects] = ~explained
        ties = int(explained.sum())
    with np.errstate(over="ignore"):
        over = scales.wanted * scales.factor > scales.stored * SATURATED
    return Seen(
        wrong=wrong,
        ties=ties,
        zeroed=int(((scales.stored == 0) & (scales.largest > 0)).sum()),
        saturated=int((over & (scales.largest > SMALLEST) & (scales.codes >= LAST_SCALE[scales.name])).sum()),
    )


def _scales_of(groups: Groups, element: Element, mode: str) -> "_Scales":
    flat = groups.weights.reshape(-1)
    largest = np.maximum.reduceat(np.abs(flat), np.arange(0, flat.size, groups.weights.shape[1]))
    return _Scales.of(groups.scales, largest, groups.global_scales, element, mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scales:
    """The scales [n] of some groups as floats, beside the largest magnitudes and the factor of a global scale."""

    mode: str
    element: Element
    codes: Codes
    stored: Floats
    largest: Floats
    wanted: Floats
    factor: Floats

    @property
    def name(self) -> str:
        """Return the format that the scales are stored in."""
        return "e4m3" if self.mode == "nvfp4" else "e8m0"

    @classmethod
    def of(cls, codes: Codes, largest: Floats, wholes: Floats | None, element: Element, mode: str) -> "_Scales":
        one = np.ones(len(largest), np.float32)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            factor = one if wholes is None else factors_of(wholes)
            wanted = (largest / element.largest).astype(np.float32)
        return cls(
            mode=mode,
            element=element,
            codes=codes,
            stored=scale_values(mode)[codes],
            largest=largest,
            wanted=wanted,
            factor=factor,
        )

    def right(self, dtype: str | None) -> Mask:
        """Say where the stored scale is the right one, if it was computed in `dtype` (None: float32)."""
        wanted = _rounded(self.wanted, dtype)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.name == "e4m3":
                e4m3, wanted = ELEMENTS[8], wanted * self.factor
                low = _magnitudes(wanted * (1 - TIE), e4m3.below, _ABOVE)
                high = _magnitudes(wanted * (1 + TIE), e4m3.upto, np.uint32(0))
                right: Mask = (self.codes >= low) & (self.codes <= high)
            else:
                exponent = np.log2(wanted, dtype=np.float64)
                exact = self.codes.astype(np.float64) - E8M0_BIAS
                right = (exact >= np.ceil(exponent - TIE_OCTAVES)) & (exact <= np.ceil(exponent + TIE_OCTAVES))
                right |= np.abs(exact - exponent) <= 0.5 + TIE_OCTAVES
        # A group of zeros has zeros for codes, and for a scale any number.
        any_number: Mask = (self.largest == 0) & (self.codes <= LAST_SCALE[self.name])
        return right | any_number

    def quotients(self, weights: Floats, dtype: str | None) -> Floats:
        """Return weights [..., group] / scale, by which elements are chosen, in `dtype` (None: float32)."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if dtype is None:
                return weights * self.multipliers()[:, None]
            return _rounded(weights * self._inverse()[:, None], dtype) * self.factor[:, None]

    def multipliers(self) -> Floats:
        """Return what a group's weights are multiplied by to become elements, float32 [n]."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return self._inverse() * self.factor

    def _inverse(self) -> Floats:
        return np.where(self.stored > 0, 1 / self.stored, np.float32(0))


def scale_values(mode: str) -> Floats:
    """Return the value of every code of a scale, float32 [codes]; NaN where it is none."""
    return E4M3 if mode == "nvfp4" else E8M0


def factors_of(wholes: Floats) -> Floats:
    """Return what weights are multiplied by because of tensor scales [n]."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        factors: Floats = np.where(wholes > 0, NVFP4_FULL_SCALE / wholes, np.float32(1))
    return factors


def _rounded(values: Floats, dtype: str | None) -> Floats:
    if dtype is None:
        return values
    raw = narrow(values, dtype)
    return widen(raw.view(np.float16) if dtype == "F16" else raw, dtype)


def _magnitudes(numbers: Floats, table: Codes, above: np.uint32) -> Codes:
    """Look up how many midpoints lie under each number; `above` rounds the dropped bits up."""
    keys = np.abs(numbers).view(np.uint32)
    keys += above
    keys >>= _DROPPED
    return np.take(table, keys.view(np.int32), mode="clip")


def usual_scales(weights: Floats, wholes: Floats | None, *, mode: str, bits: int) -> Codes:
    """Return the scales [n] that mlx's CPU kernels give to float32 groups [n, group], made in float32."""
    groups = Groups(weights=weights, codes=np.empty(0, np.uint8), scales=np.zeros(len(weights), np.uint8),
                    global_scales=wholes)  # fmt: skip
    scales = _scales_of(groups, ELEMENTS[bits], mode)
    if mode == "nvfp4":
        return _magnitudes(scales.wanted * scales.factor, ELEMENTS[8].below, _ABOVE)
    exponents = np.nan_to_num(np.ceil(np.log2(scales.wanted, dtype=np.float64)), neginf=0) + E8M0_BIAS
    made: Codes = np.clip(exponents, 0, LAST_SCALE["e8m0"]).astype(np.uint8)
    return made


def usual_codes(weights: Floats, scales: Codes, wholes: Floats | None, *, mode: str, bits: int) -> Codes:
    """Return the codes [n, group] that mlx's CPU kernels give to float32 groups under these scales [n]."""
    groups = Groups(weights=weights, codes=np.empty(0, np.uint8), scales=scales, global_scales=wholes)
    element = ELEMENTS[bits]
    return _codes(_scales_of(groups, element, mode).quotients(weights, None), element)


def _fit_at_once(quotients: Floats, codes: Codes, element: Element) -> Mask:
    """Say which groups have the codes of mlx's CPU kernels."""
    fits: Mask = (_codes(quotients, element) == codes).all(axis=1)
    return fits


def _codes(quotients: Floats, element: Element) -> Codes:
    """Return the nearest codes as mlx's CPU kernels do: ties to the smaller e2m1 and no -0, e4m3 as IEEE."""
    found = _magnitudes(quotients, element.below, _ABOVE)
    if element.is_ieee:
        upto = _magnitudes(quotients, element.upto, np.uint32(0))
        found += (found != upto) & (found & np.uint8(1)).astype(np.bool_)
    signs = (quotients.view(np.uint32) >> np.uint32(31)).astype(np.uint8)
    if not element.is_ieee:
        signs *= np.minimum(found, np.uint8(1))
    signs *= element.sign
    found |= signs
    return found


def _explained(groups: Groups, scales: _Scales, element: Element) -> Mask:
    explained = _is_exact(groups, scales, element)
    # A GPU computes in float32, a CPU in the dtype of the weights.
    for dtype in (None, "BF16", "F16"):
        quotients = scales.quotients(groups.weights, dtype)
        explained |= scales.right(dtype) & _within_ties(quotients, groups.codes, element)
    return explained


def _within_ties(quotients: Floats, codes: Codes, element: Element) -> Mask:
    magnitude = codes & np.uint8(element.sign - 1)
    low = _magnitudes(quotients * (1 - TIE), element.below, _ABOVE)
    high = _magnitudes(quotients * (1 + TIE), element.upto, np.uint32(0))
    sign_is_right = ((codes & element.sign) != 0) == np.signbit(quotients)
    fits: Mask = ((low <= magnitude) & (magnitude <= high) & (sign_is_right | (magnitude == 0))).all(axis=1)
    return fits


def _is_exact(groups: Groups, scales: _Scales, element: Element) -> Mask:
    """Say which groups decode to the very weights (a packed source's own codes), or to nothing from next to it."""
    table = E2M1 if element.sign == 8 else E4M3
    with np.errstate(invalid="ignore", over="ignore"):
        decoded = table[groups.codes] * (scales.stored / scales.factor)[:, None]
        # A source's own tensor scale is stored times a constant, and may come back with its last bit changed.
        allowed = np.float32(0) if groups.global_scales is None else WHOLE_ROUNDING
        near: Mask = np.abs(decoded - groups.weights) <= allowed * np.abs(groups.weights)
    nothing: Mask = (scales.largest < SMALLEST) & (np.abs(decoded).max(axis=1) < 4 * SMALLEST)
    explained: Mask = near.all(axis=1) | nothing
    return explained
