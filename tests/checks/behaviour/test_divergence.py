import math

import numpy as np
import pytest
from numpy.typing import NDArray

from hubbot.checks.behaviour.divergence import join, score, summarise

Floats = NDArray[np.float32]


def logits(*probabilities: list[float]) -> Floats:
    return np.log(np.array(probabilities, np.float32))


def drawn(seed: int, tokens: int = 200, vocabulary: int = 50) -> Floats:
    return np.random.default_rng(seed).normal(0, 2, (tokens, vocabulary)).astype(np.float32)


def test_the_divergence_is_that_of_the_textbook() -> None:
    base, other = logits([0.5, 0.25, 0.25]), logits([0.25, 0.5, 0.25])
    found = summarise(score(base, other, np.array([0])))
    assert found.kl_mean.value == pytest.approx(0.25 * math.log(2), abs=1e-7)
    assert found.same_top.value == 0.0
    assert found.perplexity.value == pytest.approx(4.0)
    assert found.base_perplexity.value == pytest.approx(2.0)
    assert found.perplexity_ratio.value == pytest.approx(2.0)
    assert found.log_perplexity_ratio.value == pytest.approx(math.log(2))
    assert found.rms_delta_p.value == pytest.approx(0.25)


def test_the_same_logits_diverge_by_nothing_and_a_constant_changes_nothing() -> None:
    base = drawn(0)
    following = np.zeros(200, np.int64)
    for other in (base, base + np.float32(3.0)):
        found = summarise(score(base, other, following))
        assert found.kl_max < 1e-6
        assert found.same_top.value == 1.0
        assert found.perplexity_ratio.value == pytest.approx(1.0, abs=1e-6)


def test_uncertainties_are_standard_errors_of_the_mean() -> None:
    base, other = drawn(1), drawn(1) + 0.3 * drawn(2)
    following = np.random.default_rng(3).integers(0, 50, 200)
    scores = score(base, other, following)
    found = summarise(scores)
    assert found.kl_mean.error == pytest.approx(scores.divergence.std(ddof=1) / math.sqrt(200))
    agreement = found.same_top.value
    assert found.same_top.error == pytest.approx(math.sqrt(agreement * (1 - agreement) / 199))
    difference = scores.base_log_probability - scores.log_probability
    assert found.log_perplexity_ratio.error == pytest.approx(difference.std(ddof=1) / math.sqrt(200))
    assert found.perplexity.error == pytest.approx(
        found.perplexity.value * scores.log_probability.std(ddof=1) / math.sqrt(200)
    )


def test_the_tail_is_in_order_and_the_maximum_is_one_of_the_tokens() -> None:
    scores = score(drawn(4), drawn(5), np.zeros(200, np.int64))
    found = summarise(scores)
    assert found.kl_median < found.kl_p99 < found.kl_p999 < found.kl_max
    assert found.kl_max == scores.divergence.max()
    assert found.kl_p99 == pytest.approx(np.sort(scores.divergence)[[197, 198]] @ [0.99, 0.01])


def test_stretches_of_text_add_up_to_the_whole() -> None:
    base, other = drawn(6), drawn(7)
    following = np.arange(200) % 50
    halves = join(score(base[part], other[part], following[part]) for part in (slice(0, 77), slice(77, 200)))
    assert summarise(halves).rounded() == pytest.approx(summarise(score(base, other, following)).rounded())


def test_a_divergence_of_a_millionth_is_not_lost_in_rounding() -> None:
    base = drawn(8).astype(np.float64)
    other = base.copy()
    other[:, 0] += 1e-3
    chosen = np.exp(base[:, 0]) / np.exp(base).sum(axis=1)
    exact = np.log1p(chosen * math.expm1(1e-3)) - chosen * 1e-3
    found = score(base.astype(np.float32), other.astype(np.float32), np.zeros(200, np.int64))
    assert found.divergence.mean() == pytest.approx(exact.mean(), rel=0.01)


def test_the_numbers_are_given_in_one_level_for_the_report() -> None:
    rounded = summarise(score(drawn(9), drawn(10), np.zeros(200, np.int64))).rounded()
    assert {"kl_mean", "kl_mean_error", "kl_median", "kl_p99", "kl_p999", "kl_max", "same_top"} <= set(rounded)
    assert all(isinstance(value, float) for value in rounded.values())
