"""From one slice of float bits to the stored parts of every variant's encoding, as stock mlx-lm reads them.

The bits are those of `hubbot.engine.formats` on every machine.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from hubbot.engine.floats import convert_dtype
from hubbot.engine.formats import affine, microscaling
from hubbot.plans import Encoding

Raw = npt.NDArray[Any]
Parts = Mapping[str, Raw]


def encode(raw: Raw, dtype: str, encodings: Sequence[Encoding]) -> list[Parts]:
    """Return, for each encoding, its stored parts by suffix.

    `raw` is [..., in] float bits of `dtype`, finite; with `global_scale` it is [experts, out, in]. A plain tensor
    has the one part "", bits [..., in] of the encoding's dtype. A quantized one has "weight" uint32
    [..., in * bits / 32], "scales" [..., in / group_size], for affine "biases" of the same shape (bits of the
    encoding's dtype), for nvfp4 with a tensor scale "global_scale" float32 [experts].
    """
    together = _affine(raw, dtype, encodings)
    return [together.get(encoding) or _encode(raw, dtype, encoding) for encoding in encodings]


def _affine(raw: Raw, dtype: str, encodings: Sequence[Encoding]) -> dict[Encoding, Parts]:
    alike: dict[tuple[int, str], list[Encoding]] = defaultdict(list)
    for encoding in dict.fromkeys(encodings):
        if encoding.mode == "affine":
            assert encoding.group_size
            alike[encoding.group_size, encoding.dtype].append(encoding)
    made: dict[Encoding, Parts] = {}
    for (group_size, scale_dtype), group in alike.items():
        widths = [encoding.bits or 0 for encoding in group]
        parts = affine.quantize(raw, dtype, group_size=group_size, widths=widths, scale_dtype=scale_dtype)
        made.update(zip(group, parts, strict=True))
    return made


def _encode(raw: Raw, dtype: str, encoding: Encoding) -> Parts:
    if not encoding.is_quantized:
        return {"": convert_dtype(raw, dtype, encoding.dtype)}
    # One tensor scale per expert (mlx-lm models/switch_layers.py): nvfp4's e4m3 block scales then stay in range.
    largest = microscaling.largest_magnitudes(raw, dtype) if encoding.global_scale else None
    parts = microscaling.quantize(raw, dtype, mode=encoding.mode, largest=largest)
    return parts if largest is None else {**parts, "global_scale": largest}
