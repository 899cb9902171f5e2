"""Runs both models over the text: the unquantized one once for its source, each variant against its logits."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.checks.behaviour import baseline_cache, divergence
from hubbot.checks.behaviour.baseline_cache import EXACT_BYTES, Baseline, BaselineWriter
from hubbot.checks.behaviour.corpus import Text
from hubbot.progress import Progress
from hubbot.runtime.layerwise import LayerwiseModel

Floats = npt.NDArray[np.float32]
PROFILE_POSITIONS = 96
SEED = 20_26


class OutOfTime(Exception):
    """The measurement would take longer than it may; its text says where it stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """Reports the progress of a run and stops it at `stop_at`, in seconds by `clock`."""

    progress: Progress
    clock: Callable[[], float]
    stop_at: float

    def step(self, done: int, total: int, what: str) -> None:
        """Report a step; raises OutOfTime after `stop_at`."""
        self.progress(done, total, what)
        if self.clock() > self.stop_at:
            raise OutOfTime(f"stopped at {what}, {done} of {total}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A variant beside the unquantized model.

    `cosines` has one mean cosine of hidden states per layer, `weights` says how the artifact's were used.
    `divergence` is None where a logit was no number.
    """

    divergence: divergence.Divergence | None
    base_not_finite: int
    not_finite: int
    bit_equal: bool
    vocabulary: int
    weights: str
    cosines: tuple[float, ...]


def answer(model: LayerwiseModel, text: Text, store: Path, key: str, deadline: Deadline) -> Baseline:
    """Run the unquantized model over the text and keep its answers under `key`."""
    started = deadline.clock()
    writer: BaselineWriter | None = None
    hidden: list[Floats] = []
    for scored in _run(model, text, hidden, deadline, "unquantized"):
        if writer is None:
            exact = scored.nbytes * len(text.ids) <= EXACT_BYTES
            writer = BaselineWriter(store, key, exact=exact)
        writer.write(scored)
    assert writer is not None, "a text has at least one window"
    return writer.close(np.stack(hidden), deadline.clock() - started)


def compare(model: LayerwiseModel, text: Text, base: Baseline, deadline: Deadline, *, weights: str) -> Measured:
    """Run the variant over the text and return how far it is from the unquantized model's answers."""
    hidden: list[Floats] = []
    scores: list[divergence.TokenScores] = []
    base_bad = bad = width = 0
    equal = True
    for index, scored in enumerate(_run(model, text, hidden, deadline, "variant")):
        width = scored.shape[1]
        reference = base.window(index)
        base_bad += int((~np.isfinite(reference.logits)).sum())
        bad += int((~np.isfinite(scored)).sum())
        equal = equal and baseline_cache.digest(scored) == reference.digest
        if not base_bad and not bad:
            scores.append(divergence.score(reference.logits, scored, text.following[index]))
    return Measured(
        divergence=divergence.summarise(divergence.join(scores)) if not base_bad and not bad else None,
        base_not_finite=base_bad,
        not_finite=bad,
        bit_equal=equal,
        vocabulary=width,
        weights=weights,
        cosines=tuple(_cosine(one, other) for one, other in zip(base.profile, np.stack(hidden), strict=True)),
    )


def _run(model: LayerwiseModel, text: Text, hidden: list[Floats], deadline: Deadline, what: str) -> Any:
    positions = _positions(text)

    def after_layer(index: int, layers: int, states: Any) -> None:
        flat = states.reshape(-1, *states.shape[2:])
        hidden.append(np.array(flat[positions]).reshape(len(positions), -1))
        deadline.step(index + 1, layers, f"{what}, layers")

    for index, logits in enumerate(model.logits(text.ids, after_layer, text.scored)):
        deadline.step(index + 1, len(text.ids), f"{what}, windows")
        yield logits


def _positions(text: Text) -> list[int]:
    """Return the places whose hidden states are compared, the same for every model."""
    chosen = np.random.default_rng(SEED).permutation(text.ids.size)[:PROFILE_POSITIONS]
    return [int(place) for place in np.sort(chosen)]


def _cosine(one: Floats, other: Floats) -> float:
    left, right = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float(((left * right).sum(axis=1) / np.maximum(lengths, np.finfo(np.float64).tiny)).mean())
