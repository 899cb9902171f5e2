"""JSON of others: bytes in, plain values out, or a ValueError that says why not.

It bounds the depth, so that whatever is read can be written again, and takes no half characters, which no
terminal, page or database can store. It never judges what the values mean.
"""

import json
from typing import Any

MAX_DEPTH = 100


def loads(data: bytes) -> Any:
    """Return the value of a JSON document; raises ValueError where it is malformed, too deep or not Unicode."""
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError(f"it nests deeper than {MAX_DEPTH} levels") from error
    _check_depth(value)
    # Only an escape can bring half a surrogate pair past the decoder.
    if b"\\ud" in data.lower():
        _check_characters(value)
    return value


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level := [child for item in level for child in _children(item)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")


def _children(item: Any) -> Any:
    children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return [child for child in children if isinstance(child, dict | list)]


def _check_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text in it holds half a character (a lone surrogate)") from error
