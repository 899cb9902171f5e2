"""The provenance map: where every parameter comes from, in one row for all layers that agree. Plain data."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from hubbot.checks.tracer.describe import OriginDescriber, TensorOrigin, layer_of, pattern
from hubbot.checks.tracer.trace import TraceResult

CONFIRMED = "its sanitize makes the same of it"


def provenance(trace: TraceResult) -> dict[str, Any]:
    """Return the map with the twin's size; indices in it are those of the twin, whose axes are shorter."""
    shapes = trace.numbering.shapes
    return {
        "twin": {
            "elements": trace.numbering.total,
            "tensors": len(shapes),
            "parameters": len(trace.actual),
        },
        "mlx_lm_sanitize": trace.refusal or CONFIRMED,
        "map": list(_rows(trace)),
        "dropped": _dropped(trace.dropped),
    }


def _rows(trace: TraceResult) -> Iterator[dict[str, Any]]:
    describer = OriginDescriber(trace.numbering)
    stacks = {pattern(name) for name in trace.stacks}
    layers: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for name, traced in trace.actual.items():
        origin = describer.describe(traced)
        if name in trace.computed:
            origin = TensorOrigin(sources=(trace.computed[name],), how="computed, as the catalogue's row says")
        sources = " + ".join(sorted({pattern(source) for source in origin.sources}))
        layer = layer_of(name)
        layers[pattern(name), sources, origin.how] += [] if layer is None else [layer]
    for (name, sources, how), where in layers.items():
        fold = trace.folds.get(name.replace("{l}", str(where[0]) if where else ""))
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
