"""python -m hubbot.native.builder FUNCTIONS NAME: compile functions with numba into one object file, and end.

It refuses functions that need anything of numba or Python when they run.
"""

import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any, Final

import numba
from llvmlite import binding
from numba import types

from hubbot.native.machine_code import keep, last

_TYPES: Final[Mapping[str, Any]] = {"p": types.voidptr, "i": types.int64}
# What the C library gives.
_ALLOWED: Final = frozenset({"memcpy", "memmove", "memset"})
_kept: list[Any] = []


def compiled(functions: Mapping[str, str]) -> bytes:
    """Return an object file with `functions`, as Loops.functions lists them.

    Raises RuntimeError where one would call into numba or Python.
    """
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    # On a Mac code may lie anywhere (numba/core/codegen.py).
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        reloc="pic" if sys.platform == "darwin" else "default",
        codemodel="jitdefault",
        jit=True,
    )
    first, *others = [_module(path, kinds, machine) for path, kinds in functions.items()]
    for other in others:
        first.link_in(other)
    code = bytes(machine.emit_object(first))
    # LLVM ends a process that lacks a function, so this one looks whether all are there.
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return code


def compiled_here(functions: Mapping[str, str]) -> dict[str, int]:
    """Return the addresses of functions that numba compiles into this process, by the last part of their names."""
    made = {last(path): _compiled(path, kinds) for path, kinds in functions.items()}
    _kept.extend(made.values())
    return {name: function.address for name, function in made.items()}


def _compiled(path: str, kinds: str) -> Any:
    function = getattr(importlib.import_module(path.rpartition(".")[0]), last(path))
    signature = types.int64(*(_TYPES[kind] for kind in kinds.replace(" ", "")))
    return numba.cfunc(signature, error_model="numpy")(function)


def _module(path: str, kinds: str, machine: Any) -> Any:
    """Return LLVM's module with one function under its own name, and nothing else that can be seen."""
    made, name = _compiled(path, kinds), last(path)
    module = binding.parse_assembly(made._library.get_llvm_str())  # noqa: SLF001 - no public way to the module
    module.get_function(made.native_name).name = name
    for item in [*module.functions, *module.global_variables]:
        if not item.is_declaration and item.name != name:
            item.linkage = "internal"
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(module, passes)
    needed = {item.name for item in module.functions if item.is_declaration} - _ALLOWED
    needed = {other for other in needed if not other.startswith("llvm.")}
    if needed:
        raise RuntimeError(f"{path} would call {', '.join(sorted(needed))}")
    return module


if __name__ == "__main__":
    keep(sys.argv[2], compiled(json.loads(sys.argv[1])))
