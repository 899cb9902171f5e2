"""Byte ranges of the weight files in one folder. It gives no meaning to the bits, and never writes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.checkpoints import DTYPE_BITS, TensorInfo
from hubbot.errors import CorruptHeader, UnknownPacking
from hubbot.files.uncached import UncachedFolder

# Bits of an element -> the numpy type that holds it.
_WORDS: Mapping[int, Any] = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}


def word_type(tensor: TensorInfo) -> Any:
    """Return the unsigned numpy type as wide as an element of `tensor`.

    Raises UnknownPacking where elements are no whole bytes.
    """
    found = _WORDS.get(DTYPE_BITS[tensor.dtype])
    if found is None:
        raise UnknownPacking(f"{tensor.dtype} elements are no whole bytes and cannot be moved", where=tensor.name)
    return found


class ByteRanges(UncachedFolder):
    """The open weight files of one folder; use as a context manager. Several threads may read."""

    def read_into(self, out: npt.NDArray[Any], tensor: TensorInfo, offset: int) -> None:
        """Fill the contiguous `out` [...], of any dtype, with the bytes of `tensor` from its byte `offset` on.

        Raises CorruptHeader where the file ends before that.
        """
        view = out.reshape(-1).view(np.uint8).data
        done = self.fill(view, tensor.shard, tensor.start + offset)
        if done < len(view):
            raise CorruptHeader(
                f"tensor {tensor.name!r} ends {len(view) - done} bytes early",
                where=tensor.shard,
                hint="the shard is truncated; fetch it again",
            )
