"""Read names, dtypes and shapes of pickled weights without their values: torch's files are zip archives.

The archive's directory and its pickle are fetched and written into a sparse file of the same size, which torch
then maps: every tensor is there except its values. That takes two small reads per file, as for safetensors.
"""

import io
import struct
import tempfile
import zipfile
from pathlib import Path

from hubbot.checkpoints import RepoFiles, TensorInfo
from hubbot.errors import CorruptHeader, UnknownPacking
from hubbot.pickles import door

# One read of this size at either end holds directory and pickle of most files.
END_BYTES = 128 << 10
MAX_PICKLE_BYTES = 64 << 20
MAX_ENTRIES = 200_000


def outline(files: RepoFiles, name: str, size: int) -> dict[str, TensorInfo]:
    """Return the tensors that file `name` of `size` bytes holds; only the difference of offsets has a meaning.

    Raises as `door.load` does, and UnknownPacking for a file of torch before 1.6 that is not on this machine.
    """
    door.require_torch(f"{files.repo.id}, {name}")
    source = _Ranges(files, name, size)
    if source.span(0, len(door.ZIP_MAGIC)) != door.ZIP_MAGIC:
        found = door.load(_here(files, name))
    else:
        with tempfile.TemporaryDirectory(prefix="hubbot-") as folder:
            hollow = Path(folder) / name
            _lay_out(source, hollow)
            found = door.load(hollow)
    return {
        tensor.name: TensorInfo(
            name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, shard=name, start=0, end=tensor.nbytes
        )
        for tensor in found.values()
    }


def _here(files: RepoFiles, name: str) -> Path:
    if not files.repo.is_local:
        raise UnknownPacking(
            "the file is of a torch before 1.6, whose shapes are known only after a download",
            where=f"{files.repo.id}, {name}",
            hint="download the repo and give hubbot the folder",
        )
    return Path(files.repo.id) / name


def _lay_out(source: "_Ranges", hollow: Path) -> None:
    """Write the sparse file `hollow`, as long as the source: it holds everything except the tensors' bytes."""
    try:
        with zipfile.ZipFile(source) as archive, hollow.open("wb") as file:
            file.truncate(source.size)
            entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
            _check_bounds(entries, archive.start_dir, source)
            ends = [entry.header_offset for entry in entries[1:]] + [archive.start_dir]
            spans = [
                (entry.header_offset, end)
                for entry, end in zip(entries, ends, strict=True)
                if "/data/" not in entry.filename
            ]
            for start, stop in (*spans, (archive.start_dir, source.size)):
                file.seek(start)
                file.write(source.span(start, stop))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, EOFError, struct.error) as error:
        raise CorruptHeader(
            f"the file is no archive that torch wrote: {error}",
            where=source.name,
            hint="the file is damaged or cut off; fetch it again",
        ) from error


def _check_bounds(entries: list[zipfile.ZipInfo], directory: int, source: "_Ranges") -> None:
    small = sum(entry.file_size for entry in entries if "/data/" not in entry.filename)
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    outside = any(not 0 <= entry.header_offset < directory <= source.size for entry in entries)
    if len(entries) > MAX_ENTRIES or small > MAX_PICKLE_BYTES or packed or outside:
        raise CorruptHeader("the archive is not as torch writes one", where=source.name)


class _Ranges(io.RawIOBase):
    """A file of a repo, read in ranges; both ends are kept, so that most reads cost nothing."""

    def __init__(self, files: RepoFiles, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._files = files
        self._position = 0
        self._kept = {0: files.read(name, 0, min(size, END_BYTES))}
        if size > END_BYTES:
            self._kept[size - END_BYTES] = files.read(name, size - END_BYTES, size)

    def span(self, start: int, stop: int) -> bytes:
        """Return bytes [start, stop)."""
        stop = min(stop, self.size)
        if stop - start > MAX_PICKLE_BYTES:
            raise ValueError(f"{stop - start} bytes that are no tensor")
        for first, data in self._kept.items():
            if first <= start and stop <= first + len(data):
                return data[start - first : stop - first]
        return self._files.read(self.name, start, stop) if start < stop else b""

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        stop = self.size if size is None or size < 0 else self._position + size
        data = self.span(self._position, stop)
        self._position += len(data)
        return data
