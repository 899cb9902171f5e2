"""Git LFS pointers: the few lines that stand for a large file until `git lfs pull` brings it.

Source: git-lfs, docs/spec.md. It reads no file.
"""

# "Pointer files must be less than 1024 bytes in size", "the first key is always version".
LARGEST_POINTER = 1023
_BEGINNING = b"version https://git-lfs.github.com/spec/"
HINT = (
    "the file itself was never downloaded, or never uploaded: run `git lfs pull` in the clone, or download the "
    "repo with `hf download`; a repo that itself holds the pointer has to be mended by its owner"
)


def is_pointer(data: bytes) -> bool:
    """Say whether a file that begins with `data` is a Git LFS pointer."""
    return data.startswith(_BEGINNING)


def named(path: str) -> str:
    """Return the sentence that names the file as a pointer."""
    return f"{path} is a Git LFS pointer, not the file itself"
