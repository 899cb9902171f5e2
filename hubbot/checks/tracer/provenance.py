"""The provenance map: where every parameter comes from, in one row for all layers that agree. Plain data."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from hubbot.checks.tracer.describe import Teller, Told, layer_of, pattern
from hubbot.checks.tracer.trace import Followed

CONFIRMED = "its sanitize makes the same of it"


def provenance(followed: Followed) -> dict[str, Any]:
    """Return the map with the twin's size; indices in it are those of the twin, whose axes are shorter."""
    shapes = followed.numbering.shapes
    return {
        "twin": {
            "elements": followed.numbering.total,
            "tensors": len(shapes),
            "parameters": len(followed.made),
        },
        "mlx_lm_sanitize": followed.refusal or CONFIRMED,
        "map": list(_rows(followed)),
        "dropped": _dropped(followed.dropped),
    }


def _rows(followed: Followed) -> Iterator[dict[str, Any]]:
    teller = Teller(followed.numbering)
    stacks = {pattern(name) for name in followed.stacks}
    layers: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for name, traced in followed.made.items():
        told = teller.tell(traced)
        if name in followed.computed:
            told = Told(sources=(followed.computed[name],), how="computed, as the catalogue's row says")
        sources = " + ".join(sorted({pattern(source) for source in told.sources}))
        layer = layer_of(name)
        layers[pattern(name), sources, told.how] += [] if layer is None else [layer]
    for (name, sources, how), where in layers.items():
        fold = followed.folds.get(name.replace("{l}", str(where[0]) if where else ""))
        yield {
            "parameter": name,
            "from": sources,
            "how": how,
            "experts": name in stacks,
            **({"layers": where} if where else {}),
            **({"reason": fold} if fold else {}),
        }


def _dropped(dropped: Mapping[str, str]) -> dict[str, str]:
    return {pattern(name): reason for name, reason in dropped.items()}
