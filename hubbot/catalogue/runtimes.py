"""What the installed mlx-lm can compute, read from its source files without importing it.

Importing mlx_lm takes seconds; parsing one of its model files takes milliseconds. It never runs that code.
"""

import ast
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

PACKAGE = "mlx-lm"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgField:
    """One field of a model class's ModelArgs.

    `default` is the literal in the source (None where it is not a literal); `is_read` says whether the model
    code outside ModelArgs ever reads it: a field that is declared and never read is a flag without effect.
    """

    name: str
    required: bool
    default: Any
    is_read: bool


def version() -> str | None:
    """Return the installed mlx-lm's version, or None where there is none."""
    found = _distribution()
    return found.version if found else None


@cache
def fields(runtime: str) -> tuple[ArgField, ...] | None:
    """Return the ModelArgs fields of mlx_lm.models.`runtime`, or None where mlx-lm has no such class."""
    source = _source(runtime)
    if source is None:
        return None
    tree = ast.parse(source.read_text(encoding="utf-8"))
    args = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "ModelArgs"), None)
    if args is None:
        return None
    read = _fields_read(node for node in tree.body if node is not args) | _read_by_neighbours(tree)
    declared = [
        node for node in args.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    return tuple(_field(node, read) for node in declared)


def _read_by_neighbours(tree: ast.Module) -> set[str]:
    """Return what the model files read from which this one takes its parts (solar_open is glm4_moe's Model)."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            source = _source(node.module)
            if source is not None:
                neighbour = ast.parse(source.read_text(encoding="utf-8"))
                names |= _fields_read(n for n in neighbour.body if getattr(n, "name", "") != "ModelArgs")
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
    return ArgField(name=name, required=node.value is None, default=default, is_read=name in read)


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
