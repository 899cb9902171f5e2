"""Machine code of loops that numba compiled, loaded by llvmlite alone and called through ctypes.

Importing numba and compiling costs 120 MB that stay. So a short-lived process compiles, and leaves an object
file named by a digest of sources, versions and processor, which costs 50 MB to load. Calls release the
interpreter's lock.
"""

import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

SECONDS: Final = 300
BUILDER: Final = "hubbot.native.builder"
_SHA: Final = 32
_TYPES: Final[Mapping[str, Any]] = {"p": ctypes.c_void_p, "i": ctypes.c_int64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """Functions that are compiled together, by "package.module.function", and the kinds of their arguments.

    A kind is p, a pointer, or i, an int64; blanks are for the reader. Each returns an int64. It may neither
    allocate nor raise. Importing the modules may need numba; all sources in their folders belong to the digest.
    """

    name: str
    functions: Mapping[str, str]


def load(loops: Loops) -> dict[str, Callable[..., int]]:
    """Return the functions by the last part of their names, compiled now where that was not done before.

    Where no object file can be made or kept, numba compiles in this process. Raises ImportError without numba and
    llvmlite, and whatever they raise where they do not run here.
    """
    from llvmlite import binding  # noqa: PLC0415 - 45 MB, and not on every machine

    cpu, features = binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    name = file_name(loops, cpu, features)
    code = found(name)
    if code is None:
        _build(loops, name)
        code = found(name)
    if code is None:
        from hubbot.native import builder  # noqa: PLC0415 - imports numba

        return _callable(loops, builder.compiled_here(loops.functions))
    engine = _engine(binding, cpu, features)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return _callable(loops, {name: engine.get_function_address(name) for name in map(last, loops.functions)})


def last(path: str) -> str:
    """Return the last part of a dotted name."""
    return path.rpartition(".")[2]


def file_name(loops: Loops, cpu: str, features: str) -> str:
    """Return the name of the object file for a processor, as LLVM tells it."""
    told = [platform.python_version(), version("numba"), version("llvmlite"), cpu, features, dict(loops.functions)]
    sha = hashlib.sha256(json.dumps(told).encode())
    modules = {BUILDER, *(path.rpartition(".")[0] for path in loops.functions)}
    specs = map(importlib.util.find_spec, modules)
    origins = [spec.origin for spec in specs if spec and spec.origin]
    for folder in sorted({Path(origin).parent for origin in origins}):
        for path in sorted(folder.glob("*.py")):
            sha.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"{loops.name}-{sha.hexdigest()[:32]}.o"


def folders() -> Iterator[Path]:
    """Yield where object files are looked for and kept: beside the package, else in the user's own folder."""
    yield Path(__file__).parent / "__pycache__"
    home = Path.home()
    own = home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    yield (Path(os.environ["XDG_CACHE_HOME"]) if os.environ.get("XDG_CACHE_HOME") else own) / "hubbot"


def found(name: str) -> bytes | None:
    """Return the object file `name`, or None where there is none, or only a torn one."""
    for folder in folders():
        try:
            content = (folder / name).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(content[_SHA:]).digest() == content[:_SHA]:
            return content[_SHA:]
    return None


def keep(name: str, code: bytes) -> None:
    """Keep an object file in the first folder that takes it, behind its SHA-256; in none where none does."""
    for folder in folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{name}.", delete=False) as file:
                file.write(hashlib.sha256(code).digest() + code)
            Path(file.name).replace(folder / name)
        except OSError:
            continue
        return


_engines: list[Any] = []


def _engine(binding: Any, cpu: str, features: str) -> Any:
    """Return an engine of LLVM that lives as long as the process, as its code must."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, jit=True)
    _engines.append(binding.create_mcjit_compiler(binding.parse_assembly(""), target))
    return _engines[-1]


def _callable(loops: Loops, addresses: Mapping[str, int]) -> dict[str, Callable[..., int]]:
    made: dict[str, Callable[..., int]] = {}
    for path, kinds in loops.functions.items():
        types = (_TYPES[kind] for kind in kinds.replace(" ", ""))
        if not addresses[last(path)]:
            raise RuntimeError(f"the object file lacks {path}")
        made[last(path)] = ctypes.CFUNCTYPE(ctypes.c_int64, *types)(addresses[last(path)])
    return made


def _build(loops: Loops, name: str) -> None:
    """Let a process of its own compile and keep the object file; it may fail."""
    command = [sys.executable, "-m", BUILDER, json.dumps(dict(loops.functions)), name]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
