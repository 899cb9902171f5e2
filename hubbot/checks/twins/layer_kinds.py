"""How many first layers of a model must stay so that each kind of its layers stays, by tensors and config."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.(.+)")
_NUMBER = re.compile(r"\.\d+\.")
# A pattern that repeats is seen whole once, even where no tensor's name shows it (sliding windows).
_PERIOD = re.compile(r".*(?:interval|period|pattern|_freq|every_n_layers|sparse_step|group_size)")
# Llama 4 leaves every fourth layer without rope, whether or not its list says so.
_IMPLIED: Mapping[str, int] = {"no_rope_layers": 4}
MOST_LAYERS = 12


def layers_to_keep(config: Mapping[str, Any], names: Iterable[str], count: int) -> int:
    """Return the length of the shortest beginning of `count` layers in which every kind occurs."""
    parts: dict[int, set[str]] = defaultdict(set)
    for name in names:
        found = _LAYER.search(name)
        if found:
            parts[int(found[1])].add(_NUMBER.sub(".", f".{found[2]}"))
    nested = [part for value in config.values() if isinstance(value, Mapping) for part in value.values()]
    lists = [value for value in (*config.values(), *nested) if _is_per_layer(value, count)]
    seen: set[Any] = set()
    last = 0
    for layer in range(count):
        kind = (frozenset(parts[layer]), tuple(str(values[layer]) for values in lists))
        if kind not in seen:
            seen.add(kind)
            last = layer
    periods = [value for key, value in config.items() if _PERIOD.fullmatch(key) and isinstance(value, int)]
    periods += [period for key, period in _IMPLIED.items() if key in config]
    hashed = config.get("num_hash_layers")
    if isinstance(hashed, int) and 0 < hashed < MOST_LAYERS:
        periods.append(hashed + 1)  # the first layer that chooses by scores
    return min(count, MOST_LAYERS, max([last + 1, 2, *(p for p in periods if p <= MOST_LAYERS)]))


def _is_per_layer(value: Any, count: int) -> bool:
    """Say whether a value holds one entry for each of `count` layers, and is no list of layers' numbers."""
    if not isinstance(value, list | str) or len(value) != count:
        return False
    numbers = [item for item in value if isinstance(item, int)]
    return len(numbers) < count or len(set(numbers)) < count
