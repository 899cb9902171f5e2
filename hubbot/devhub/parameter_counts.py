"""How many parameters of which dtype a safetensors file holds, from its header alone.

A header that lies about its length or shape counts as no header: the Hub shows such files without a count.
Never reads a tensor.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# "the header is limited to 100 MB" (safetensors format description)
_HEADER_LIMIT = 100_000_000


def count_parameters(paths: Iterable[Path]) -> dict[str, int] | None:
    """Return elements per dtype over the files, or None if there is none or a header is unreadable."""
    total: Counter[str] = Counter()
    for path in paths:
        header = read_header(path)
        if header is None:
            return None
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            counted = _elements(tensor)
            if counted is None:
                return None
            total[counted[0]] += counted[1]
    return dict(total) or None


def read_header(path: Path) -> Mapping[str, Any] | None:
    """Return the JSON object at the head of a file, or None if it is not within bounds or not JSON."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_HEADER_LIMIT, size - 8):
            return None
        text = file.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def _elements(tensor: object) -> tuple[str, int] | None:
    if not isinstance(tensor, dict):
        return None
    dtype, shape = tensor.get("dtype"), tensor.get("shape")
    if not isinstance(dtype, str) or not isinstance(shape, list):
        return None
    if not all(isinstance(side, int) and side >= 0 for side in shape):
        return None
    return dtype, math.prod(shape)
