"""Expert utilisation, judged: experts that were never chosen, and routers that always choose the same few.

Counts of a few hundred tokens prove no damage, so they are warnings; they never see a model.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Below this many choices per expert, on average, silence is no surprise.
ENOUGH_CHOICES = 8.0
# As many experts in effect, over those chosen per token, and a router has collapsed.
COLLAPSED = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUse:
    """How often each expert of one layer was chosen, while `tokens` tokens were routed through it."""

    layer: str
    tokens: int
    counts: tuple[int, ...]

    @property
    def dead(self) -> int:
        """Return how many experts were never chosen."""
        return sum(1 for count in self.counts if count == 0)

    @property
    def effective(self) -> float:
        """Return the exponential of the choices' entropy: as many experts used alike would give it."""
        total = sum(self.counts)
        shares = [count / total for count in self.counts if count] if total else []
        return math.exp(-sum(share * math.log(share) for share in shares))


def warnings(layers: Sequence[LayerUse]) -> Iterator[str]:
    """Yield what is odd about the routing of each layer."""
    for use in layers:
        experts, total = len(use.counts), sum(use.counts)
        if not experts or total / experts < ENOUGH_CHOICES:
            continue
        top_k = total / use.tokens
        if experts > COLLAPSED * top_k and use.effective < COLLAPSED * top_k:
            yield (
                f"{use.layer}: the router has collapsed: {use.effective:.1f} of {experts} experts do all the work "
                f"of {use.tokens} tokens"
            )
        elif use.dead:
            yield f"{use.layer}: {use.dead} of {experts} experts were never chosen in {use.tokens} tokens"
