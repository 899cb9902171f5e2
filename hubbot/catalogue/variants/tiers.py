"""How far a variant's predictions may be from the unquantized model's: good, marginal, refused.

Three limits, all of which must hold. They start from mlx-quant-fidelity's provisional policy and from sweeps
that llama.cpp and mlx users published; a variant that nobody named goes by its narrowest bits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Tier = Literal["good", "marginal", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest mean and 99 % of the KL divergence (nats) and share of flipped top tokens of one tier."""

    kl_mean: float
    kl_p99: float
    flips: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """The limits up to which a variant is good, and up to which it is still published."""

    good: Limits
    marginal: Limits


def _tiers(good: tuple[float, float, float], marginal: tuple[float, float, float]) -> Tiers:
    return Tiers(
        good=Limits(kl_mean=good[0], kl_p99=good[1], flips=good[2]),
        marginal=Limits(kl_mean=marginal[0], kl_p99=marginal[1], flips=marginal[2]),
    )


_ROUNDED = _tiers((0.001, 0.02, 0.02), (0.02, 0.20, 0.06))
_EIGHT = _tiers((0.01, 0.10, 0.05), (0.05, 0.50, 0.12))
_SIX = _tiers((0.015, 0.15, 0.06), (0.08, 0.80, 0.15))
_FIVE = _tiers((0.03, 0.30, 0.08), (0.15, 1.50, 0.20))
_FOUR = _tiers((0.10, 1.00, 0.15), (0.50, 4.00, 0.35))
_THREE = _tiers((0.30, 3.00, 0.25), (1.00, 8.00, 0.50))
# Provisional: no real model was measured at two bits. Mean and flips are those of llama.cpp's sweep of Llama 3 8B
# (tools/perplexity/README.md): good up to q2_K without an importance matrix (0.445, 29 % flipped), published up to
# iq1_M (1.39); the tails are ten and seven times the means, as above.
_TWO = _tiers((0.45, 4.50, 0.30), (1.40, 10.00, 0.60))
# Routed experts alone are narrow there: a quarter of the uniform variants' divergence was measured.
_EXPERTS_FOUR = _tiers((0.05, 0.50, 0.10), (0.30, 3.00, 0.28))
_EXPERTS_THREE = _tiers((0.20, 2.00, 0.20), (0.70, 6.00, 0.42))
# Provisional too: with only the experts at two bits, q2_K with an importance matrix (0.33) and iq2_XXS (0.81).
_EXPERTS_TWO = _tiers((0.34, 3.40, 0.26), (0.82, 7.00, 0.46))

BY_VARIANT: Mapping[str, Tiers] = {
    "fp32": _ROUNDED,
    "bf16": _ROUNDED,
    "fp16": _ROUNDED,
    "8bit": _EIGHT,
    "mxfp8": _FIVE,  # eight bits with a scale of powers of two are no better than five affine ones
    "6bit": _SIX,
    "5bit": _FIVE,
    "4bit": _FOUR,
    "mxfp4": _FOUR,
    "nvfp4": _FOUR,
    "3bit": _THREE,
    "2bit": _TWO,
    "moe-4bit": _EXPERTS_FOUR,
    "moe-mxfp4": _EXPERTS_FOUR,
    "moe-3bit": _EXPERTS_THREE,
    "moe-2bit": _EXPERTS_TWO,
}
BY_BITS: Mapping[int, Tiers] = {16: _ROUNDED, 8: _FIVE, 6: _SIX, 5: _FIVE, 4: _FOUR, 3: _THREE, 2: _TWO}


# One scale for every variant, by the mean KL divergence in nats, for people who choose among them. llama.cpp's
# sweep of Llama 3 8B: q8_0 0.001, q6_K 0.005, q4_K_M 0.031, q2_K 0.446.
QUALITIES: Mapping[str, float] = {"excellent": 0.01, "good": 0.05, "fair": 0.2}
POOREST = "poor"
_GOOD = QUALITIES["good"]


def quality_of(kl_mean: float) -> str:
    """Return the word for a mean KL divergence from the unquantized model, in nats."""
    return next((word for word, limit in QUALITIES.items() if kl_mean <= limit), POOREST)


def tiers_of(variant: str, narrowest_bits: int) -> Tiers:
    """Return the tiers of a variant; of one without a row, those of the bits of its narrowest tensor."""
    return BY_VARIANT.get(variant) or BY_BITS[max(bits for bits in BY_BITS if bits <= max(2, narrowest_bits))]


def tier_of(tiers: Tiers, *, kl_mean: float, kl_p99: float, flips: float) -> Tier:
    """Return the best tier whose three limits all hold."""
    for name, limits in (("good", tiers.good), ("marginal", tiers.marginal)):
        if kl_mean <= limits.kl_mean and kl_p99 <= limits.kl_p99 and flips <= limits.flips:
            return "good" if name == "good" else "marginal"
    return "refused"


def recommended_of(measured: Sequence[tuple[float, float]]) -> int | None:
    """Return which of the variants, each with its bytes and mean KL divergence (nats), to recommend; None of none.

    It is the smallest of good quality or better, else the nearest to the source.
    """
    good = [number for number, (_, kl_mean) in enumerate(measured) if kl_mean <= _GOOD]
    if good:
        return min(good, key=lambda number: measured[number][0])
    return min(range(len(measured)), key=lambda number: measured[number][1], default=None)
