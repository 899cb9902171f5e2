"""What the installed mlx-lm can compute, read from its source files without importing it.

Importing mlx_lm takes seconds; parsing one of its model files takes milliseconds. It never runs that code.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from hubbot.catalogue import extensions

PACKAGE = "mlx-lm"
_MODELS = "mlx_lm.models."


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgField:
    """One field of a model class's ModelArgs.

    `default` is the literal in the source (None where it is not a literal), `is_null_anyway` says that it is null.
    `is_read` says whether the model code outside ModelArgs ever reads it: a field that is declared and never read
    is a flag without effect.
    """

    name: str
    required: bool
    default: Any
    is_read: bool
    is_null_anyway: bool = False


def version(package: str = PACKAGE) -> str | None:
    """Return the installed version of mlx-lm, or of another package; None where there is none."""
    try:
        return distribution(package).version
    except PackageNotFoundError:
        return None


@cache
def fields(runtime: str, extension: str | None = None) -> tuple[ArgField, ...] | None:
    """Return the ModelArgs fields of mlx_lm.models.`runtime`, or of hubbot's own model file `extension`.

    "module.Class" names another class of arguments in that module, such as a text decoder's.

    None where the installed mlx-lm has no such class, or lacks a part that the extension takes from it.
    """
    module, _, name = runtime.partition(".")
    source = _source(module) if extension is None else extensions.FOLDER / extension
    if source is None:
        return None
    tree = ast.parse(source.read_text(encoding="utf-8"))
    if extension is not None and any(_source(name) is None for name in _neighbours(tree)):
        return None
    args = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == (name or "ModelArgs")), None)
    if args is None:
        return None
    read = _fields_read(node for node in tree.body if node is not args) | _read_by_neighbours(tree)
    read |= _read_by_methods(args)
    declared = [
        node for node in args.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    return tuple(_field(node, read) for node in declared)


def model_files() -> tuple[str, ...]:
    """Return the names of mlx-lm's model files, sorted; none where it is not installed."""
    base = _source("base")
    return tuple(sorted(path.stem for path in base.parent.glob("*.py"))) if base else ()


def neighbours(file: str) -> frozenset[str]:
    """Return the model files of mlx-lm from which `file` takes its parts."""
    source = _source(file)
    tree = ast.parse(source.read_text(encoding="utf-8")) if source else None
    beside = {
        alias.name
        for node in (tree.body if tree else ())
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module is None  # from . import llama
        for alias in node.names
    }
    return frozenset(beside | set(_neighbours(tree) if tree else ()))


def remapped() -> dict[str, str]:
    """Return the model types that mlx-lm loads by another model file, with that file."""
    base = _source("base")
    path = base.parent.parent / "utils.py" if base else None
    tree = ast.parse(path.read_text(encoding="utf-8")) if path and path.is_file() else None
    tables = (
        ast.literal_eval(node.value)
        for node in (tree.body if tree else ())
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if node.targets[0].id == "MODEL_REMAPPING"
    )
    return dict(next(tables, {}))


def _read_by_methods(args: ast.ClassDef) -> set[str]:
    """Return the fields that methods of the arguments' own class read; __post_init__ only rewrites them."""
    methods = [node for node in args.body if isinstance(node, ast.FunctionDef) and node.name != "__post_init__"]
    return {
        node.attr
        for method in methods
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }


def _neighbours(tree: ast.Module) -> Iterator[str]:
    """Yield the model files of mlx-lm from which this one takes its parts (solar_open is glm4_moe's Model)."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.level == 1:
                yield node.module
            elif node.module.startswith(_MODELS):
                yield node.module.removeprefix(_MODELS)


def _read_by_neighbours(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for neighbour in _neighbours(tree):
        source = _source(neighbour)
        if source is not None:
            parts = ast.parse(source.read_text(encoding="utf-8"))
            names |= _fields_read(n for n in parts.body if getattr(n, "name", "") != "ModelArgs")
    return names


def _distribution() -> Distribution | None:
    try:
        return distribution(PACKAGE)
    except PackageNotFoundError:
        return None


def _source(runtime: str) -> Path | None:
    found = _distribution()
    if found is None or not runtime.isidentifier():
        return None
    path = Path(str(found.locate_file(f"mlx_lm/models/{runtime}.py")))
    return path if path.is_file() else None


def _field(node: ast.AnnAssign, read: set[str]) -> ArgField:
    assert isinstance(node.target, ast.Name)
    default = None
    if node.value is not None:
        try:
            default = ast.literal_eval(node.value)
        except ValueError:  # field(default_factory=...) and the like
            default = None
    name = node.target.id
    is_null = isinstance(node.value, ast.Constant) and node.value.value is None
    return ArgField(
        name=name,
        required=node.value is None,
        default=default,
        is_read=name in read,
        is_null_anyway=is_null,
    )


def _fields_read(nodes: Any) -> set[str]:
    names: set[str] = set()
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and _is_args(node.value):
                names.add(node.attr)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
                names.update(_text(arg) for arg in node.args)
    return names


def _is_args(node: ast.expr) -> bool:
    # Model code calls its ModelArgs `args`, `self.args`, `config` or `self.config`.
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in {"args", "config", "text_config"}


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
