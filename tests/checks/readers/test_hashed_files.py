from pathlib import Path

from hubbot.checks.readers.hashed_files import hash_files


def test_hashes_are_those_of_sha256sum_also_in_subfolders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_files(tmp_path) == {"sub/a.txt": expected}


def test_what_a_downloader_or_a_mac_leaves_behind_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / ".gitattributes").write_text("*.safetensors lfs")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
    (tmp_path / ".cache" / "huggingface" / "x.metadata").write_text("y")
    assert set(hash_files(tmp_path)) == {"config.json"}
