"""The source's logical tensors as float32, by name: plain ones as stored, packed ones decoded with numpy alone.

It shares no code with the converter; which stored tensors belong together is the catalogue's knowledge.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.catalogue import packings
from hubbot.checkpoints import Checkpoint
from hubbot.checks.readers.packed import DECODERS
from hubbot.checks.readers.reused_memory import ReusedMemory
from hubbot.checks.readers.tensor_files import Floats, TensorFiles


class SourceTensors:
    """Every logical tensor of a checkpoint whose files lie in `folder`."""

    def __init__(self, folder: Path, checkpoint: Checkpoint) -> None:
        found = packings.unpacked(checkpoint)
        self._files = TensorFiles(folder, checkpoint.shards, checkpoint.tensors)
        self._packed = found.packed
        self.packed = frozenset(found.packed)
        self.infos = found.checkpoint.tensors
        self.dropped = dict(found.dropped)
        self._whole: tuple[str, Floats] | None = None

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the logical shape of a tensor, [out, in] whichever way it is stored."""
        return self.infos[name].shape

    def dtype(self, name: str) -> str:
        """Return the dtype on disk; of a packed tensor that of its codes."""
        packed = self._packed.get(name)
        stored = name if packed is None else next(iter(packed.parts.values())).tensor
        return self._files.tensors[stored].dtype

    def stored(
        self, name: str, start: int, stop: int, memory: ReusedMemory | None = None
    ) -> tuple[npt.NDArray[Any], str]:
        """Return steps [start, stop) of a tensor's first axis with their dtype: as stored, or unpacked float32.

        What is as stored lies in `memory` where it is given.
        """
        if name not in self._packed:
            return self._files.raw(name, start, stop, memory), self._files.tensors[name].dtype
        return self.floats(name, start, stop), "F32"

    def floats(self, name: str, start: int, stop: int) -> Floats:
        """Return steps [start, stop) of a tensor's first axis, unpacked: float32 [stop - start, ...]."""
        packed = self._packed.get(name)
        if packed is None:
            return self._files.floats(name, start, stop)
        decode = DECODERS[packed.packing]
        if packed.transposed and len(packed.shape) == 2:
            # Rows are columns on disk: the last matrix asked for is kept, since its rows are asked for in turn.
            kept = self._whole  # read once: another thread may keep another one meanwhile
            if kept is None or kept[0] != name:
                whole = decode(self._files, packed, 0, packed.shape[0])
                kept = self._whole = (name, np.ascontiguousarray(whole.T))
            return kept[1][start:stop]
        values = decode(self._files, packed, start, stop)
        return np.ascontiguousarray(values.swapaxes(-1, -2)) if packed.transposed else values
