import errno
import fcntl
import os
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from hubbot.errors import CorruptHeader, HubbotError, OutOfRoom, WrongUsage
from hubbot.files.atomic_folders import (
    check_room,
    explain,
    flush,
    is_disk_full,
    make_folder,
    partial_folder,
    refuse_foreign,
    replace_folder,
    write_file,
)

Usage = namedtuple("Usage", ["total", "used", "free"])  # noqa: PYI024 - the shape of shutil's own


def names_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def made_beside(out: Path, name: str = "new") -> Path:
    made = partial_folder(out)
    (made / "sub").mkdir(parents=True)
    (made / "sub" / name).write_text("x")
    return made


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths that are brought to the disk, in order, as each was called at that moment."""
    paths: list[str] = []
    real = os.fsync

    def record(descriptor: int) -> None:
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink().as_posix())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return paths


def test_a_whole_folder_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "old").mkdir(parents=True)
    replace_folder(made_beside(out), out)
    assert names_below(tmp_path) == ["out", "out/sub", "out/sub/new"]


@pytest.mark.parametrize("kind", ["file", "link to a folder", "link to nothing"])
def test_a_file_or_a_link_of_that_name_is_replaced_and_what_a_link_leads_to_stays(
    tmp_path: Path, kind: str
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    if kind == "file":
        out.write_text("old")
    else:
        out.symlink_to(elsewhere)
    if kind == "link to a folder":
        elsewhere.mkdir()
        (elsewhere / "precious").write_text("x")
    replace_folder(made_beside(out), out)
    assert not out.is_symlink()
    assert names_below(out) == ["sub", "sub/new"]
    assert (elsewhere / "precious").exists() == (kind == "link to a folder")
    assert ".out.old" not in {path.name for path in tmp_path.iterdir()}


@pytest.mark.skipif(sys.platform != "linux", reason="the path of a descriptor is read from /proc")
def test_every_file_and_folder_is_on_the_disk_before_the_rename_and_the_parent_after_it(
    tmp_path: Path, flushed: list[str]
) -> None:
    out = tmp_path / "out"
    made = made_beside(out)
    replace_folder(made, out)
    before = {made.as_posix(), (made / "sub").as_posix(), (made / "sub" / "new").as_posix()}
    assert set(flushed[:3]) == before
    assert flushed[3:] == [tmp_path.as_posix()]


@pytest.mark.skipif(sys.platform != "linux", reason="the path of a descriptor is read from /proc")
def test_a_folder_made_elsewhere_brings_both_parents_to_the_disk(tmp_path: Path, flushed: list[str]) -> None:
    (tmp_path / "work" / "4bit").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    replace_folder(tmp_path / "work" / "4bit", tmp_path / "out" / "4bit")
    assert flushed[1:] == [(tmp_path / "out").as_posix(), (tmp_path / "work").as_posix()]


def test_killed_while_the_old_folder_is_deleted_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    (out / "old").mkdir(parents=True)
    with monkeypatch.context() as context:
        context.setattr(shutil, "rmtree", lambda path, **_: None if not Path(path).exists() else killed())
        with pytest.raises(KeyboardInterrupt):
            replace_folder(made_beside(out), out)
    assert names_below(out) == ["sub", "sub/new"]
    replace_folder(made_beside(out, "newer"), out)
    assert names_below(tmp_path) == ["out", "out/sub", "out/sub/newer"]


def test_on_a_mac_the_drive_is_told_to_empty_its_cache_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    synced: list[int] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "fcntl", lambda _descriptor, command: asked.append(command))
    monkeypatch.setattr(os, "fsync", synced.append)
    with (tmp_path / "file").open("wb") as file:
        flush(file.fileno())
    assert (asked, synced) == ([51], [])


@pytest.mark.parametrize(("number", "falls_back"), [(errno.ENOTSUP, True), (errno.EIO, False)])
def test_a_mac_file_system_without_full_fsync_gets_fsync_and_a_broken_one_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, *, falls_back: bool
) -> None:
    def refuse(_descriptor: int, _command: int) -> None:
        raise OSError(number, "no")

    synced: list[int] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    monkeypatch.setattr(os, "fsync", synced.append)
    with (tmp_path / "file").open("wb") as file:
        if falls_back:
            flush(file.fileno())
            assert synced == [file.fileno()]
        else:
            with pytest.raises(OSError, match="no"):
                flush(file.fileno())


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for data in (b"old", b"new"):
        write_file(tmp_path / ".record.json", data)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {".record.json": data}


def test_a_file_in_the_way_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(WrongUsage, match="a file stands"):
            make_folder(folder)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_only_what_the_caller_calls_its_own_may_be_replaced(tmp_path: Path) -> None:
    asked: list[Path] = []

    def is_ours(folder: Path) -> bool:
        asked.append(folder)
        return folder.name == "ours"

    refuse_foreign(tmp_path / "nothing", is_ours, "is not ours")
    assert asked == []
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    refuse_foreign(tmp_path / "ours", is_ours, "is not ours")
    for name in ("theirs", "file", "link"):
        with pytest.raises(WrongUsage, match="is not ours") as caught:
            refuse_foreign(tmp_path / name, is_ours, "is not ours")
        assert caught.value.where == str(tmp_path / name)
    assert asked == [tmp_path / "ours", tmp_path / "theirs"]


def test_more_than_the_disk_has_free_is_out_of_room_with_the_numbers_and_the_purpose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**6, 0, 1000))
    check_room(tmp_path, 1000, purpose="the work")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**6, 0, 999))
    with pytest.raises(OutOfRoom, match=r"the work needs 1\.00 kB more on the disk, 999 B are free"):
        check_room(tmp_path, 1000, purpose="the work", hint="ask for less")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "full"), OutOfRoom),
        (OSError(errno.EDQUOT, "quota"), OutOfRoom),
        (OSError(errno.EFBIG, "too large for the disk"), OutOfRoom),
        (FileNotFoundError(errno.ENOENT, "gone", "shard"), CorruptHeader),
        (OSError(errno.EIO, "broken"), HubbotError),
    ],
)
def test_an_error_of_the_disk_says_what_it_means(error: OSError, kind: type[HubbotError]) -> None:
    assert type(explain(error, Path("x"))) is kind
    assert is_disk_full(error) == (kind is OutOfRoom)
