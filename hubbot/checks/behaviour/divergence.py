"""How far a variant's predictions are from the unquantized model's: KL divergence and its companions.

Names and definitions are those of llama.cpp's `llama-perplexity --kl-divergence`. Everything is computed in
float64, token by token, and nothing here knows of models.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
BLOCK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScores:
    """What is known of every scored token.

    KL divergence in nats, whether the most probable token is the same, and the log-probability of the token that
    follows in the text, under the unquantized model (`base`) and under the variant.
    """

    divergence: Doubles
    same_top: npt.NDArray[np.bool_]
    base_log_probability: Doubles
    log_probability: Doubles


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its standard error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The summary of all scored tokens; divergences in nats, probabilities between 0 and 1."""

    tokens: int
    kl_mean: Estimate
    kl_median: float
    kl_p99: float
    kl_p999: float
    kl_max: float
    same_top: Estimate
    rms_delta_p: Estimate
    perplexity: Estimate
    base_perplexity: Estimate
    log_perplexity_ratio: Estimate
    perplexity_ratio: Estimate

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def rounded(self) -> dict[str, float]:
        """Return the same in one level, to six digits; "_error" marks standard errors."""
        flat: dict[str, float] = {}
        for name, value in asdict(self).items():
            if isinstance(value, dict):
                flat |= {name: float(f"{value['value']:.6g}"), f"{name}_error": float(f"{value['error']:.2g}")}
            else:
                flat[name] = float(f"{value:.6g}")
        return flat


def score(
    base: npt.NDArray[np.float32], other: npt.NDArray[np.float32], following: npt.NDArray[np.int64]
) -> TokenScores:
    """Return the scores of logits [tokens, vocabulary] of both models; `following` are the true next tokens."""
    parts = [
        _score(base[at : at + BLOCK], other[at : at + BLOCK], following[at : at + BLOCK])
        for at in range(0, len(following), BLOCK)
    ]
    return join(parts)


def join(parts: Iterable[TokenScores]) -> TokenScores:
    """Return the scores of several stretches of text as one."""
    listed = list(parts)
    return TokenScores(
        divergence=np.concatenate([part.divergence for part in listed]),
        same_top=np.concatenate([part.same_top for part in listed]),
        base_log_probability=np.concatenate([part.base_log_probability for part in listed]),
        log_probability=np.concatenate([part.log_probability for part in listed]),
    )


def summarise(scores: TokenScores) -> Divergence:
    """Return mean, tail, agreement and perplexities of all scored tokens."""
    kl = scores.divergence
    median, p99, p999 = (float(value) for value in np.quantile(kl, [0.5, 0.99, 0.999]))
    ratio = _mean(scores.base_log_probability - scores.log_probability)
    return Divergence(
        tokens=len(kl),
        kl_mean=_mean(kl),
        kl_median=median,
        kl_p99=p99,
        kl_p999=p999,
        kl_max=float(kl.max()),
        same_top=_mean(scores.same_top.astype(np.float64)),
        rms_delta_p=_root_mean_square(np.exp(scores.log_probability) - np.exp(scores.base_log_probability)),
        perplexity=_exponential(_mean(-scores.log_probability)),
        base_perplexity=_exponential(_mean(-scores.base_log_probability)),
        log_perplexity_ratio=ratio,
        perplexity_ratio=_exponential(ratio),
    )


def _score(
    base: npt.NDArray[np.float32], other: npt.NDArray[np.float32], following: npt.NDArray[np.int64]
) -> TokenScores:
    left, right = _log_softmax(base), _log_softmax(other)
    rows = np.arange(len(following))
    return TokenScores(
        # Rounding leaves equal distributions a hair below zero.
        divergence=np.maximum((np.exp(left) * (left - right)).sum(axis=-1), 0.0),
        same_top=base.argmax(axis=-1) == other.argmax(axis=-1),
        base_log_probability=left[rows, following],
        log_probability=right[rows, following],
    )


def _log_softmax(logits: npt.NDArray[np.float32]) -> Doubles:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    whole: Doubles = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return whole


def _mean(values: Doubles) -> Estimate:
    error = float(values.std() / np.sqrt(len(values) - 1)) if len(values) > 1 else 0.0
    return Estimate(value=float(values.mean()), error=error)


def _exponential(mean: Estimate) -> Estimate:
    with np.errstate(over="ignore"):
        value = float(np.exp(mean.value))
    return Estimate(value=value, error=value * mean.error)


def _root_mean_square(values: Doubles) -> Estimate:
    squares = _mean(values**2)
    root = float(np.sqrt(squares.value))
    return Estimate(value=root, error=squares.error / (2 * root) if root else 0.0)
