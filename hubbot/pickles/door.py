"""Read pickled weights as tensors with torch, which is imported only when there are some.

torch reads them with weights_only, which builds tensors and nothing else: a pickle that would run code is refused.
Files are memory-mapped, so that one larger than memory can be read.
"""

import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hubbot.checkpoints import stored_bytes
from hubbot.errors import CorruptHeader, UnknownPacking, UnsafePickle

INSTALL = "pip install 'hubbot[torch]'"
ZIP_MAGIC = b"PK\x03\x04"
# torch's name of a dtype -> that of safetensors.
_DTYPES: Mapping[str, str] = {
    "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "bool": "BOOL", "uint8": "U8",
    "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "uint16": "U16", "uint32": "U32",
    "uint64": "U64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
    "complex64": "C64",
}  # fmt: skip


def is_available() -> bool:
    """Say whether torch is installed; it is not imported."""
    return find_spec("torch") is not None


def require_torch(where: str) -> None:
    """Raise UnknownPacking with the command that installs torch, unless it is there."""
    if not is_available():
        raise UnknownPacking(
            "the weights exist only as pickled pytorch_model files, which torch has to read",
            where=where,
            hint=f"{INSTALL}; or ask the owner for safetensors",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PickledTensor:
    """One tensor of a pickled file; `value` is torch's, memory-mapped where the file allows it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    value: Any

    @property
    def nbytes(self) -> int:
        """Return the bytes it takes in safetensors, which shares no storage."""
        return stored_bytes(self.dtype, self.shape)

    def blocks(self, limit: int) -> Iterator[memoryview]:
        """Yield its bytes, row-major and little-endian, at least one step of its first axis and about `limit`."""
        value = self.value if self.shape else self.value.reshape(1)
        step = max(1, limit // max(1, self.nbytes // max(1, len(value))))
        for start in range(0, len(value), step):
            part = value[start : start + step].contiguous().reshape(-1)
            if part.numel():
                yield memoryview(part.view(_torch().uint8).numpy())


def load(path: Path) -> dict[str, PickledTensor]:
    """Return the tensors of a pickled file by name.

    Raises UnsafePickle where it holds more than tensors, CorruptHeader where it cannot be read, UnknownPacking
    where it holds what safetensors cannot.
    """
    require_torch(path.name)
    with path.open("rb") as file:
        mapped = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC  # what torch before 1.6 wrote cannot be mapped
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's advice to programmers
            found = _torch().load(path, weights_only=True, mmap=mapped, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise UnsafePickle(
            f"the file is no plain set of tensors: {_reason(error)}",
            where=path.name,
            hint="it may want to run code; hubbot never lets it, ask the owner for safetensors",
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CorruptHeader(
            f"torch cannot read the file: {_reason(error)}",
            where=path.name,
            hint="the file is damaged or cut off; fetch it again",
        ) from error
    if not isinstance(found, dict):
        raise UnknownPacking(f"the file holds a {type(found).__name__}, not tensors by name", where=path.name)
    return {str(name): _tensor(name, value, path.name) for name, value in found.items()}


def _tensor(name: object, value: Any, where: str) -> PickledTensor:
    torch = _torch()
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        raise UnknownPacking(f"{name!r} is a {type(value).__name__}, not a tensor", where=where)
    dtype = _DTYPES.get(str(value.dtype).removeprefix("torch."))
    if dtype is None or value.layout != torch.strided or value.is_quantized:
        raise UnknownPacking(
            f"{name!r} is stored as {value.dtype}, {value.layout}, which safetensors cannot hold", where=where
        )
    return PickledTensor(name=name, dtype=dtype, shape=tuple(value.shape), value=value.detach())


def _reason(error: Exception) -> str:
    """Return the line of torch's many that says what was found."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Unsupported" in line or "unsupported" in line or "blocked" in line]
    return (telling or lines or [type(error).__name__])[0][:200]


def _torch() -> Any:
    import torch  # noqa: PLC0415 - seconds to import, and an extra that few need

    return torch
