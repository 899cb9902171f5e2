"""Write safetensors files by offset: shapes are known first, so the header comes first and bytes in any order."""

import json
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from hubbot.checkpoints import FileInfo, stored_bytes
from hubbot.engine.hashing_file import HashingFile
from hubbot.engine.journal import Journal
from hubbot.engine.stage_times import StageTimes

ALIGNMENT = 8
# Pieces written and not yet hashed, of one variant.
UNHASHED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where one stored tensor lives: file name, offset of its first byte, bytes per step of its first axis."""

    file: str
    start: int
    nbytes: int
    stride: int


Stored = tuple[str, str, tuple[int, ...]]


class WeightWriter:
    """The weight files of one variant under construction; use as a context manager.

    `tensors` are (name, dtype, shape) in the order they will stand in the files; shards hold at most
    `shard_bytes` unless a single tensor is larger. Files that `journal` knows as complete are left as they
    are; every other is hashed as it grows and recorded there when its last byte is written. `form` is the
    format that the files' metadata names: "mlx", or "pt" for what transformers is to load. Tensors named in
    `begin` begin a new file. All files are opened on entering, or with `begin` those of one `window` at a time.
    `times` is told how long hashing takes. `together` writers share the memory for what waits to be hashed.
    """

    def __init__(
        self,
        folder: Path,
        tensors: Sequence[Stored],
        *,
        shard_bytes: int,
        journal: Journal,
        form: str = "mlx",
        begin: Collection[str] = (),
        times: StageTimes | None = None,
        together: int = 1,
    ) -> None:
        self._folder = folder
        self._form = form
        self._groups = _shards(tensors, shard_bytes, begin)
        self._in_windows = bool(begin)
        self._together = together
        self._times = times or StageTimes(time.monotonic)
        self._journal = journal
        self._files: dict[str, HashingFile] = {}
        self._recording: deque[Future[None]] = deque()
        self._recorder = ThreadPoolExecutor(1)
        self.slots: dict[str, Slot] = {}
        for number, group in enumerate(self._groups, start=1):
            self._place(_file_name(number, len(self._groups)), group)

    def __enter__(self) -> Self:
        if not self._in_windows:
            self._open({name for group in self._groups for name, _, _ in group})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recorder.shutdown(wait=True, cancel_futures=kind is not None)
        self._settle(failed=kind is not None)

    @contextmanager
    def window(self, names: Collection[str]) -> Iterator[None]:
        """Open the files of tensors `names`, and check at the end that every byte of them is written."""
        self._open(names)
        try:
            yield
        except BaseException:
            self._settle(failed=True)
            raise
        self._settle(failed=False)

    def _open(self, names: Collection[str]) -> None:
        for number, group in enumerate(self._groups, start=1):
            file = _file_name(number, len(self._groups))
            if file not in self._journal.files and any(name in names for name, _, _ in group):
                header, offsets = _header(group, self._form)
                spans = [(len(header) + start, stop - start) for start, stop in offsets]
                self._files[file] = HashingFile(self._folder / file, header, spans, together=self._together)

    def _settle(self, *, failed: bool) -> None:
        recordings, self._recording = self._recording, deque()
        files, self._files = self._files, {}
        for recording in recordings:
            if not failed:
                recording.result()
            elif not recording.cancel():
                recording.exception()
        for file in files.values():
            file.close()
        unwritten = [name for name, file in files.items() if not file.is_complete]
        assert failed or not unwritten, f"bytes never written: {unwritten}"

    def wants(self, name: str) -> bool:
        """Say whether tensor `name` stands in a file that is still to be written."""
        return name in self.slots and self.slots[name].file in self._files

    def write(self, name: str, row: int, data: memoryview, *, within: tuple[int, int] = (0, 1)) -> None:
        """Write the bytes `data` at step `row` of tensor `name`'s first axis, unless its file is complete already.

        With `within` (k, n) the data begin k n-ths of a step later. Raises OSError where the disk fails.
        """
        stride = self.slots[name].stride
        self.write_at(name, row * stride + stride * within[0] // within[1], data)

    def write_at(self, name: str, offset: int, data: memoryview) -> None:
        """Write `data` `offset` bytes into tensor `name`, unless its file is complete already."""
        slot = self.slots[name]
        file = self._files.get(slot.file)
        if file is None:
            return
        assert offset + len(data) <= slot.nbytes, f"{name} would be written past its end"
        file.write(slot.start + offset, slot.start, data)
        self._recording.append(self._recorder.submit(self._record, slot.file, file))
        if len(self._recording) > UNHASHED:
            # What waits to be hashed stays in memory: the writer must not run ahead.
            self._recording.popleft().result()

    def _record(self, name: str, file: HashingFile) -> None:
        with self._times.measure("hash and sync"):
            sha256 = file.digest()
        if sha256 is not None:
            self._journal.complete(FileInfo(path=name, size=file.size, sha256=sha256))

    def index(self) -> dict[str, object]:
        """Return the content of model.safetensors.index.json."""
        total = sum(slot.nbytes for slot in self.slots.values())
        return {
            "metadata": {"total_size": total},
            "weight_map": {name: self.slots[name].file for name in sorted(self.slots)},
        }

    def _place(self, file: str, group: Sequence[Stored]) -> None:
        header, offsets = _header(group, self._form)
        for (name, _, shape), (start, stop) in zip(group, offsets, strict=True):
            stride = (stop - start) // shape[0] if shape and shape[0] else stop - start
            self.slots[name] = Slot(file=file, start=len(header) + start, nbytes=stop - start, stride=stride)


def _shards(tensors: Sequence[Stored], limit: int, begin: Collection[str]) -> list[list[Stored]]:
    groups: list[list[Stored]] = []
    size = 0
    for tensor in tensors:
        nbytes = stored_bytes(tensor[1], tensor[2])
        if not groups or size + nbytes > limit or tensor[0] in begin:
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += nbytes
    return groups


def _file_name(number: int, count: int) -> str:
    # mlx-lm globs model*.safetensors and transformers expects the same names.
    return "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def _header(group: Sequence[Stored], form: str) -> tuple[bytes, list[tuple[int, int]]]:
    entries: dict[str, object] = {"__metadata__": {"format": form}}
    offsets = []
    position = 0
    for name, dtype, shape in group:
        end = position + stored_bytes(dtype, shape)
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        offsets.append((position, end))
        position = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text, offsets
