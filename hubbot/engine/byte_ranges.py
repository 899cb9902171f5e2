"""Byte ranges of weight files, read where they are wanted; bits, whatever they mean. It never writes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.checkpoints import DTYPE_BITS, TensorInfo
from hubbot.errors import CorruptHeader, UnknownPacking
from hubbot.files.uncached import UncachedFolder

# How elements of so many bits travel through numpy.
_WORDS: Mapping[int, Any] = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}


def word(tensor: TensorInfo) -> Any:
    """Return the unsigned numpy type as wide as an element of `tensor`, or raise UnknownPacking."""
    found = _WORDS.get(DTYPE_BITS[tensor.dtype])
    if found is None:
        raise UnknownPacking(f"{tensor.dtype} elements are no whole bytes and cannot be moved", where=tensor.name)
    return found


class Extents(UncachedFolder):
    """The open weight files of one folder; use as a context manager. Several threads may read."""

    def take(self, out: npt.NDArray[Any], tensor: TensorInfo, offset: int) -> None:
        """Fill the contiguous `out` with the bytes of `tensor` from its byte `offset` on."""
        view = out.reshape(-1).view(np.uint8).data
        done = self.fill(view, tensor.shard, tensor.start + offset)
        if done < len(view):
            raise CorruptHeader(
                f"tensor {tensor.name!r} ends {len(view) - done} bytes early",
                where=tensor.shard,
                hint="the shard is truncated; fetch it again",
            )
