"""Two runs of one twin, side by side: how far the logits are apart, and whether the routers chose the same."""

from dataclasses import dataclass

import numpy as np

from hubbot.runtime.probe import Run

ALLOWED = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`relative` is the largest difference over the largest logit, `position` where it is.

    `flipped` names the first layer and token with other experts, "" where all are the same, and is None where
    the two sides do not show their choices in the same form.
    """

    relative: float
    position: int
    flipped: str | None


def compare(reference: Run, other: Run) -> Comparison:
    """Return how `other` stands to transformers' `reference`."""
    difference = np.abs(other.logits - reference.logits).max(axis=-1)
    scale = np.abs(reference.logits).max()
    worst = float(difference.max() / scale)
    return Comparison(
        relative=worst if np.isfinite(worst) else float("inf"),
        position=int(difference.argmax()),
        flipped=_flipped(reference, other),
    )


def _flipped(reference: Run, other: Run) -> str | None:
    shapes = [choice.shape for choice in reference.choices]
    if not shapes or shapes != [choice.shape for choice in other.choices]:
        return None
    if other.experts is not None and max(choice.max() for choice in reference.choices) >= other.experts:
        return None  # experts that compute nothing (LongCat) are none of the runtime's
    for layer, (one, two) in enumerate(zip(reference.choices, other.choices, strict=True)):
        different = (np.sort(one, axis=-1) != np.sort(two, axis=-1)).any(axis=-1)
        if different.any():
            token = int(different.argmax())
            found, wanted = (sorted(side[token].tolist()) for side in (two, one))
            return f"MoE layer {layer}, token {token}: experts {found} for {wanted}"
    return ""
