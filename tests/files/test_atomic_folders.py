import errno
from pathlib import Path

import pytest

from hubbot.errors import CorruptHeader, HubbotError, OutOfRoom, WrongUsage
from hubbot.files.atomic_folders import aside_of, check_room, explained, make_parent, settle


def test_what_is_whole_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "old").mkdir(parents=True)
    made = aside_of(out)
    (made / "sub").mkdir(parents=True)
    (made / "sub" / "new").write_text("x")
    settle(made, out)
    assert [path.relative_to(out).as_posix() for path in out.rglob("*")] == ["sub", "sub/new"]
    assert not made.exists()


def test_a_file_in_the_way_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "out", tmp_path / "file" / "deeper" / "out"):
        with pytest.raises(WrongUsage, match="a file stands"):
            make_parent(out)
    make_parent(tmp_path / "a" / "b" / "out")
    assert (tmp_path / "a" / "b").is_dir()


def test_more_than_the_disk_holds_is_out_of_room(tmp_path: Path) -> None:
    check_room(tmp_path, 1)
    with pytest.raises(OutOfRoom, match="are needed"):
        check_room(tmp_path, 1 << 60)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "full"), OutOfRoom),
        (FileNotFoundError(errno.ENOENT, "gone", "shard"), CorruptHeader),
        (OSError(errno.EIO, "broken"), HubbotError),
    ],
)
def test_an_error_of_the_disk_says_what_it_means(error: OSError, kind: type[HubbotError]) -> None:
    assert type(explained(error, Path("x"))) is kind
