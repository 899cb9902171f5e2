"""The whole catalogue as plain data, with what the installed mlx-lm makes of it: the content of `hubbot layouts`.

It reads rows and the names of mlx-lm's classes, imports none of them, and decides nothing: that is classify's.
"""

from typing import Any

from hubbot.catalogue import runtimes
from hubbot.catalogue.experts.expert_layouts import ROWS
from hubbot.catalogue.families import BY_MODEL_TYPE, FAMILIES, RECOGNISED, Family, Recognised
from hubbot.catalogue.packings import PACKINGS

CONVERTIBLE, NO_RUNTIME, REFUSED = "convertible", "recognised, no runtime", "refused"


def coverage() -> dict[str, Any]:
    """Return layouts, packings and model types; every model type with its state and what limits it."""
    known = [entry for entry in RECOGNISED if entry.model_type not in BY_MODEL_TYPE]
    return {
        "mlx_lm": runtimes.version(),
        "layouts": [
            {
                "key": row.key,
                "naming": row.naming,
                "stacking": row.stacking,
                "example": row.example,
                "source": row.source,
                "model_types": [family.model_type for family in FAMILIES if row.key in family.layouts],
                "recognised": [entry.model_type for entry in known if row.key in entry.layouts],
            }
            for row in ROWS
        ],
        "packings": [
            {
                "key": row.key,
                "method": row.method,
                "naming": row.naming,
                "example": row.example,
                "source": row.source,
            }
            for row in PACKINGS
        ],
        "model_types": [*map(_family, FAMILIES), *map(_recognised, known)],
    }


def _family(family: Family) -> dict[str, Any]:
    there = runtimes.fields(family.runtime, family.model_file) is not None
    return {
        "model_type": family.model_type,
        "state": CONVERTIBLE if there else NO_RUNTIME,
        "runtime": _runtime(family) if there else None,
        "model_file": family.model_file,
        "layouts": list(family.layouts),
        "limits": [
            *(f"{field}: {limit.reason}" for field, limit in family.limits.items()),
            *(f"{one.where}: {_runtime(one.row)}" for one in family.under),
        ],
        "reason": family.extension.reason if family.extension else None,
        "evidence": {key: provenance.source for key, provenance in family.layouts.items()},
    }


def _runtime(family: Family) -> str:
    own = f" with hubbot's {family.model_file}" if family.model_file else ""
    return f"mlx-lm {runtimes.version()}: {family.runtime}{own}"


def _recognised(entry: Recognised) -> dict[str, Any]:
    there = runtimes.fields(entry.model_type) is not None
    missing = f"mlx-lm {runtimes.version()} has no class {entry.model_type}"
    return {
        "model_type": entry.model_type,
        "state": REFUSED if there else NO_RUNTIME,
        "runtime": None,
        "model_file": None,
        "layouts": list(entry.layouts),
        "limits": [],
        "reason": entry.reason if there else missing,
        "evidence": {key: provenance.source for key, provenance in entry.layouts.items()},
    }
