from __future__ import annotations

import pytest

from hubbot.devhub.allowed_names import file_path, is_large, is_repo_name, ref_name, repo_address, sha256_name
from hubbot.devhub.wire_errors import WireError


@pytest.mark.parametrize("path", ["a", "a/b.txt", ".gitattributes", "a b/ü.md", "a/..b"])
def test_ordinary_paths_are_paths(path: str) -> None:
    assert file_path(path) == path


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", ".git/config", "a\\b", "a\nb", "a\0b", 7, None]
)
def test_a_path_that_could_leave_the_repo_is_refused(path: object) -> None:
    with pytest.raises(WireError):
        file_path(path)


@pytest.mark.parametrize("name", ["a", "Qwen3-30B-A3B", "a.b_c", "_a"])
def test_ordinary_names_are_repo_names(name: str) -> None:
    assert is_repo_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a..b", "a--b", "a.git", "-a", "a/b", "a b", "x" * 97])
def test_odd_names_are_no_repo_names(name: str) -> None:
    assert not is_repo_name(name)


def test_an_unknown_kind_of_repo_is_refused() -> None:
    with pytest.raises(WireError):
        repo_address("papers", "a", "b")


@pytest.mark.parametrize("name", ["../main", "a..b", "a//b", "a.lock", " a", ""])
def test_odd_ref_names_are_refused(name: str) -> None:
    with pytest.raises(WireError):
        ref_name(name)


@pytest.mark.parametrize("oid", ["0" * 63, "G" * 64, "A" * 64, None])
def test_an_lfs_oid_is_a_sha256(oid: object) -> None:
    with pytest.raises(WireError):
        sha256_name(oid)


def test_weights_and_files_over_one_mebibyte_are_large() -> None:
    assert is_large("model.safetensors", 10)
    assert is_large("pytorch_model.bin", 10)
    assert is_large("tokenizer.json", 1024 * 1024 + 1)
    assert not is_large("tokenizer.json", 1024 * 1024)
    assert not is_large("model.safetensors", 0)
