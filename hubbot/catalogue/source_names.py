"""What a source would call parameters of the runtime's model that nothing in it makes: names for error messages.

It guesses only what can be checked: by the same parameters of another layer, or by the family's renames backwards.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from hubbot.catalogue.families import Family
from hubbot.catalogue.tensors import runtime_name

_LAYER = re.compile(r"(?<=\.layers\.)\d+(?=\.)")


def source_names(missing: Sequence[str], made: Mapping[str, Sequence[str]], family: Family) -> list[str]:
    """Return the source tensors that would make the parameters `missing`; none for one where that cannot be told.

    `made` holds the parameters that are made, with the source tensors of each.
    """
    layers: dict[str, dict[str, Sequence[str]]] = defaultdict(dict)
    for output, sources in made.items():
        layer, place = _apart(output)
        layers[layer][place] = sources
    lacking: dict[str, list[str]] = defaultdict(list)
    for output in missing:
        layer, place = _apart(output)
        lacking[layer].append(place)
    found: list[str] = []
    for layer, places in lacking.items():
        # The layer that has most of what this one lacks: layers of another kind may spell a part of it otherwise.
        model = max(layers.values(), key=lambda other: sum(place in other for place in places), default={})
        for place in places:
            if layer and place in model:
                found += (_LAYER.sub(layer, name, count=1) for name in model[place])
            else:
                output = _LAYER.sub(layer, place, count=1) if layer else place
                found += [name for name in _backwards(output, family) if runtime_name(name, family) == output][:1]
    return list(dict.fromkeys(found))


def _apart(parameter: str) -> tuple[str, str]:
    """Return the number of a parameter's layer ("" where it is in none), and its name with 0 for the number."""
    found = _LAYER.search(parameter)
    return (found[0], _LAYER.sub("0", parameter, count=1)) if found else ("", parameter)


def _backwards(parameter: str, family: Family) -> Iterator[str]:
    """Yield names that may become `parameter`: by each rename whose pattern is a plain text, or by none."""
    for pattern, replacement in family.renames:
        text = pattern.removeprefix("^").removesuffix("$")
        plain = re.sub(r"\\(.)", r"\1", text)
        if re.fullmatch(text, plain) and replacement and replacement in parameter:
            yield parameter.replace(replacement, plain, 1)
    for block in family.blocks:
        if block and block != family.runtime_block:
            yield parameter.replace(f".{family.runtime_block}.", f".{block}.", 1)
    yield parameter
