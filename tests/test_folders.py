import hashlib
from pathlib import Path

import pytest

from hubbot.errors import RepoMissing
from hubbot.folders import Folder, file_info
from tests.reference.checkpoints import case, write


def test_files_are_listed_with_sizes_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("b.txt", "a/c.txt", ".git/config", ".hidden", "a/.partial/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [(file.path, file.size) for file in Folder(tmp_path).files] == [("a/c.txt", 7), ("b.txt", 5)]


def test_reads_are_counted_and_short_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    folder = Folder(tmp_path)
    assert folder.read("x", 2, 5) == b"234"
    assert folder.read("x", 8, 50) == b"89"
    assert (folder.requests, folder.bytes_read) == (2, 5)


def test_a_missing_folder_is_a_missing_repo(tmp_path: Path) -> None:
    with pytest.raises(RepoMissing):
        Folder(tmp_path / "nowhere")


def test_the_revision_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    one, two = (Folder(write(case("qwen3_moe/hub"), tmp_path / name)).repo for name in "ab")
    assert one.revision == two.revision
    assert one.is_local
    assert one.id != two.id
    (tmp_path / "a" / "config.json").write_text("{}")
    assert Folder(tmp_path / "a").repo.revision != one.revision


def test_weights_that_differ_beyond_the_first_mebibyte_are_not_told_apart_by_the_revision_alone(
    tmp_path: Path,
) -> None:
    for name, tail in (("a", b"x"), ("b", b"y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w").write_bytes(bytes(2 << 20) + tail)
    one, two = (Folder(tmp_path / name).repo.revision for name in "ab")
    # Known and said in the class: a revision of a folder is cheap, it is no hash of its weights.
    assert one == two


def test_a_file_is_listed_with_its_size_and_sha256(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    (tmp_path / "x").write_bytes(data)
    found = file_info(tmp_path / "x", "name")
    assert (found.path, found.size, found.sha256) == ("name", len(data), hashlib.sha256(data).hexdigest())
