"""Repo, TensorInfo, Checkpoint: what is on the Hub, without its bytes.

It never reads a file and never asks the network.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Protocol

# Bits per element of every dtype that the safetensors format names
# (huggingface/safetensors, safetensors/src/tensor.rs, enum Dtype).
DTYPE_BITS: Mapping[str, int] = MappingProxyType(
    {
        "BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "I32": 32, "U32": 32, "I64": 64, "U64": 64,
        "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
        "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
        "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
    }
)  # fmt: skip
FLOAT_DTYPES = frozenset({"F16", "BF16", "F32"})


def stored_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Return the bytes that a tensor of `dtype` and `shape` takes on disk."""
    return math.prod(shape) * DTYPE_BITS[dtype] // 8


# "unknown" is what the Hub's own list offers to whoever does not know.
_SAYS_NOTHING = frozenset({"", "unknown", "none"})


def stated_licences(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the licences that a card's metadata state, in their order: as a rule one, where it is silent none."""
    value = metadata.get("license")
    stated = value if isinstance(value, list) else [value]
    words = (item.strip() for item in stated if isinstance(item, str))
    return tuple(dict.fromkeys(word for word in words if word.lower() not in _SAYS_NOTHING))


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo:
    """A repo at one commit.

    `revision` is a 40-hex commit sha on the Hub, never a branch name; for a local folder `id` is its path
    and `revision` is "local-" and a digest of its config and headers.
    """

    id: str
    revision: str

    @property
    def is_local(self) -> bool:
        """Say whether the repo is a folder of this machine."""
        return self.revision.startswith("local-")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """One tensor of a shard: `start` and `end` are byte offsets from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    shard: str
    start: int
    end: int

    @property
    def elements(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Return the size on disk in bytes."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """A file of a repo: size in bytes; sha256 where the Hub (LFS) or hubbot knows it, else git's id from the Hub.

    Every byte that comes from the Hub whole is compared with one of them.
    """

    path: str
    size: int
    sha256: str | None = None
    blob_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything about a checkpoint except its weights.

    `config` is config.json as parsed, `card` the YAML front matter of README.md, `files` every file of the
    repo, `tensors` every tensor by name; `requests` and `bytes_read` say what looking cost. `card_problem` says
    why the front matter cannot be read, `notes` what was found odd and harmless in choosing the weight files,
    `tokenizer_fault` why no tokenizer can be had (message, where, hint), where that is so.
    """

    repo: Repo
    config: Mapping[str, Any]
    card: Mapping[str, Any]
    files: tuple[FileInfo, ...]
    tensors: Mapping[str, TensorInfo]
    gated: bool
    private: bool
    requests: int
    bytes_read: int
    card_problem: str | None = None
    notes: tuple[str, ...] = ()
    tokenizer_fault: tuple[str, str | None, str | None] | None = None

    @property
    def model_type(self) -> str:
        """Return the config's model_type, or an empty string."""
        return str(self.config.get("model_type") or "")

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def shards(self) -> tuple[str, ...]:
        """Return the names of the weight files, sorted."""
        return tuple(sorted({tensor.shard for tensor in self.tensors.values()}))

    @property
    def licences(self) -> tuple[str, ...]:
        """Return the licence identifiers of the card, as written there: as a rule one, where it is silent none."""
        return stated_licences(self.card)

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` takes back."""
        return {
            "repo": asdict(self.repo),
            "config": dict(self.config),
            "card": dict(self.card),
            "files": [asdict(file) for file in self.files],
            "tensors": [[t.name, t.dtype, list(t.shape), t.shard, t.start, t.end] for t in self.tensors.values()],
            "gated": self.gated,
            "private": self.private,
            "requests": self.requests,
            "bytes_read": self.bytes_read,
            "card_problem": self.card_problem,
            "notes": list(self.notes),
            "tokenizer_fault": self.tokenizer_fault,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Checkpoint":
        """Rebuild a checkpoint from `to_json`'s data."""
        tensors = [
            TensorInfo(name=n, dtype=d, shape=tuple(s), shard=f, start=a, end=b)
            for n, d, s, f, a, b in data["tensors"]
        ]
        return cls(
            repo=Repo(**data["repo"]),
            config=data["config"],
            card=data["card"],
            files=tuple(FileInfo(**file) for file in data["files"]),
            tensors={tensor.name: tensor for tensor in tensors},
            gated=data["gated"],
            private=data["private"],
            requests=data["requests"],
            bytes_read=data["bytes_read"],
            card_problem=data["card_problem"],
            notes=tuple(data["notes"]),
            tokenizer_fault=tuple(data["tokenizer_fault"]) if data.get("tokenizer_fault") else None,
        )


class RepoFiles(Protocol):
    """The files of one repo, wherever they are; a local folder and the Hub both answer to it.

    `read` returns bytes [start, stop) of a file (fewer at its end) and raises CorruptHeader, TryLater or
    NotForUs errors of errors.py; `requests` and `bytes_read` count what was asked so far.
    """

    requests: int
    bytes_read: int

    @property
    def repo(self) -> Repo:
        """Return the repo at its commit."""

    @property
    def files(self) -> tuple[FileInfo, ...]:
        """Return every file with its size."""

    @property
    def links(self) -> Mapping[str, str]:
        """Return the links that are not followed and not among `files`, each with where it leads, in words."""

    @property
    def gated(self) -> bool:
        """Say whether access must be granted by the owner."""

    @property
    def private(self) -> bool:
        """Say whether the repo is hidden from the public."""

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of the file."""
