"""A journal whose writer was killed at any byte: what is read back is what was recorded up to there, whole."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbot.engine.journal import NAME, Journal
from hubbot.folders import file_info

FIXED = settings(max_examples=60, deadline=None, derandomize=True, database=None)


class Killed(BaseException):
    """The process ends here."""


class Disk:
    """Lets `steps` bytes and renames through; the one after them does not happen, and kills."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def spend(self, wanted: int) -> int:
        allowed = min(wanted, self.steps)
        self.steps -= allowed
        return allowed


class Writer:
    """A file opened for writing, on a disk whose steps are counted."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        allowed = self._disk.spend(len(data))
        self._file.write(bytes(data)[:allowed])
        if allowed < len(data):
            raise Killed
        return allowed


@contextmanager
def killed_after(steps: int) -> Iterator[None]:
    """Kill whoever writes more than so many bytes, a rename counting as one; other work is not counted."""
    disk = Disk(steps)
    real_open, real_replace = Path.open, Path.replace

    def opened(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        file = real_open(path, mode, *rest, **named)
        return Writer(file, disk) if "w" in mode else file

    def replaced(path: Path, target: Path) -> Path:
        if not disk.spend(1):
            raise Killed
        return real_replace(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", opened)
        patch.setattr(Path, "replace", replaced)
        yield


@contextmanager
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def name(number: int) -> str:
    return f"model-{number}.safetensors"


def convert(folder: Path, contents: list[bytes], done: list[int]) -> None:
    """Write every file that the journal lacks and record it, as a conversion does."""
    journal = Journal(folder, "plan")
    for number, content in enumerate(contents):
        if name(number) not in journal.files:
            (folder / name(number)).write_bytes(content)
            journal.complete(file_info(folder / name(number), name(number)))
        done.append(number)


CONTENTS = st.lists(st.binary(max_size=60), min_size=1, max_size=6)


@FIXED
@given(contents=CONTENTS, steps=st.integers(0, 4000))
def test_what_is_read_back_is_a_prefix_of_what_was_recorded(contents: list[bytes], steps: int) -> None:
    with scratch() as root:
        folder, done = root / ".4bit.partial", list[int]()
        try:
            with killed_after(steps):
                convert(folder, contents, done)
        except Killed:
            pass
        else:
            assert len(done) == len(contents)
        files = Journal(folder, "plan").files
        assert list(files) == [name(number) for number in range(len(files))]
        # The last one may be recorded although the writer never learned it.
        assert len(done) <= len(files) <= len(done) + 1
        assert {path.name for path in folder.iterdir()} == {NAME, *files}
        for number in range(len(files)):
            assert (folder / name(number)).read_bytes() == contents[number]


@FIXED
@given(contents=CONTENTS, kills=st.lists(st.integers(0, 1500), max_size=4))
def test_however_often_it_is_killed_the_conversion_ends_with_the_same_files(
    contents: list[bytes], kills: list[int]
) -> None:
    with scratch() as root:
        folder = root / ".4bit.partial"
        for steps in kills:
            try:
                with killed_after(steps):
                    convert(folder, contents, [])
            except Killed:
                continue
        convert(folder, contents, [])
        found = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != NAME}
        assert found == {name(number): content for number, content in enumerate(contents)}


@FIXED
@given(contents=CONTENTS, cut=st.floats(0, 1))
def test_a_journal_that_a_disk_kept_only_in_part_records_nothing(contents: list[bytes], cut: float) -> None:
    with scratch() as root:
        folder = root / ".4bit.partial"
        convert(folder, contents, [])
        whole = (folder / NAME).read_bytes()
        assert json.loads(whole)["identity"] == "plan"
        kept = whole[: int(cut * len(whole))]
        (folder / NAME).write_bytes(kept)
        files = Journal(folder, "plan").files
        assert len(files) == (len(contents) if kept == whole else 0)
