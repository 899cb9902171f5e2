"""What transformers 5 calls a model type's tensors, and how gate and up share one: looked up in its row.

Source: transformers 5.23, conversion_mapping and the experts' modules; the committed references prove it. It
needs no runtime and never looks at shapes.
"""

from hubbot.catalogue.experts.expert_layouts import BY_KEY
from hubbot.catalogue.families import BY_MODEL_TYPE, RECOGNISED, Family, Recognised
from hubbot.catalogue.families.row import Naming


def naming_of(model_type: str) -> Naming | None:
    """Return what is known of the names and the order in a model type; None where nothing is."""
    known = _known(model_type)
    return known.naming if known else None


def order_in(model_type: str, part: str) -> str | None:
    """Return how gate and up share a tensor called `part` in checkpoints of a model type, if that is known."""
    known = _known(model_type)
    for key, provenance in known.layouts.items() if known else ():
        if BY_KEY[key].parts.get("gate_up") == part:
            return provenance.order
    return None


def _known(model_type: str) -> Family | Recognised | None:
    recognised = (entry for entry in RECOGNISED if entry.model_type == model_type)
    return BY_MODEL_TYPE.get(model_type) or next(recognised, None)


def renamed(naming: Naming | None, name: str, *, on_hub: bool) -> str:
    """Return what the Hub, or else transformers' modules, call a tensor; its bytes are the same."""
    dotted = f".{name}."
    for hub, module in naming.pairs if naming else ():
        old, new = (f".{module}.", f".{hub}.") if on_hub else (f".{hub}.", f".{module}.")
        if old in new and new in dotted:
            return name  # the longer name is there already
        if old in dotted:
            return dotted.replace(old, new, 1)[1:-1]
    return name
