"""From one slice of float bits to the stored parts of every variant's encoding, as stock mlx-lm reads them.

The bits are those of `hubbot.engine.formats` on every machine.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from hubbot.engine.floats import NotFinite, all_finite, convert_dtype
from hubbot.engine.formats import kernels, microscaling
from hubbot.plans import Encoding

Raw = npt.NDArray[Any]
Parts = Mapping[str, Raw]


def encode(
    raw: Raw, dtype: str, encodings: Sequence[Encoding], using: kernels.Kernels = kernels.DEFINITIONS
) -> list[Parts]:
    """Return, for each encoding, its stored parts by suffix; raises NotFinite where `raw` holds NaN or infinity.

    `raw` is [..., in] float bits of `dtype`; with `global_scale` it is [experts, out, in]. A plain tensor
    has the one part "", bits [..., in] of the encoding's dtype. A quantized one has "weight" uint32
    [..., in * bits / 32], "scales" [..., in / group_size], for affine "biases" of the same shape (bits of the
    encoding's dtype), for nvfp4 with a tensor scale "global_scale" float32 [experts].
    """
    # The fused kernels look for NaN and infinity as they quantize.
    is_seen = using.reason is None and any(encoding.is_quantized for encoding in encodings)
    if not is_seen and not all_finite(raw, dtype):
        raise NotFinite
    together = _affine(raw, dtype, encodings, using)
    return [together.get(encoding) or _encode(raw, dtype, encoding, using) for encoding in encodings]


def _affine(raw: Raw, dtype: str, encodings: Sequence[Encoding], using: kernels.Kernels) -> dict[Encoding, Parts]:
    alike: dict[tuple[int, str], list[Encoding]] = defaultdict(list)
    for encoding in dict.fromkeys(encodings):
        if encoding.mode == "affine":
            assert encoding.group_size
            alike[encoding.group_size, encoding.dtype].append(encoding)
    made: dict[Encoding, Parts] = {}
    for (group_size, scale_dtype), group in alike.items():
        widths = [encoding.bits or 0 for encoding in group]
        parts = using.affine(raw, dtype, group_size=group_size, widths=widths, scale_dtype=scale_dtype)
        made.update(zip(group, parts, strict=True))
    return made


def _encode(raw: Raw, dtype: str, encoding: Encoding, using: kernels.Kernels) -> Parts:
    if not encoding.is_quantized:
        return {"": convert_dtype(raw, dtype, encoding.dtype)}
    # One tensor scale per expert (mlx-lm models/switch_layers.py): nvfp4's e4m3 block scales then stay in range.
    largest = microscaling.largest_magnitudes(raw, dtype) if encoding.global_scale else None
    parts = using.microscaling(raw, dtype, mode=encoding.mode, largest=largest)
    return parts if largest is None else {**parts, "global_scale": largest}
