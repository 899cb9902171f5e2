"""A tokenizer's Python code as text: parsed for the literals it defines, never run.

It knows no tokenizer; what the literals have to be, the rows beside this module say.
"""

import ast
from collections.abc import Iterator
from typing import Any

from hubbot.catalogue.tokenizers.tiktokens import HINT
from hubbot.errors import NeedsHuman

LARGEST_CODE = 1 << 18


def unknown(file: str, what: str) -> NeedsHuman:
    """Return the refusal of code that is not the known one; `what` says in which particular."""
    return NeedsHuman(
        f"the tokenizer exists only as code, and {file} {what}; hubbot never runs it", where=file, hint=HINT
    )


def parsed(code: str, file: str) -> ast.Module:
    """Return the syntax tree of `code`; NeedsHuman where it is too long or no Python."""
    if len(code) > LARGEST_CODE:
        raise unknown(file, f"has {len(code)} characters")
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise unknown(file, f"is no Python: {error}") from error


def constants(body: list[ast.stmt]) -> Iterator[tuple[str, Any]]:
    """Yield name -> literal value of the assignments in `body`; "x".join([...]) of literals counts as one."""
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = literal(node.value)
            if value is not None:
                yield node.targets[0].id, value


def literal(node: ast.expr) -> Any:
    """Return the value of a literal expression, or None where it is something else."""
    try:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join":
            between, parts = ast.literal_eval(node.func.value), ast.literal_eval(node.args[0])
            return between.join(parts) if isinstance(between, str) else None
        return ast.literal_eval(node)
    except (ValueError, TypeError, IndexError, SyntaxError, RecursionError):
        return None


def functions(node: ast.AST) -> dict[str, ast.FunctionDef]:
    """Return every function under `node` by name, methods included."""
    return {found.name: found for found in ast.walk(node) if isinstance(found, ast.FunctionDef)}


def defaults(function: ast.FunctionDef | None) -> dict[str, Any]:
    """Return the literal default values of a function's arguments by name."""
    if function is None:
        return {}
    names = [argument.arg for argument in function.args.args]
    values = function.args.defaults
    pairs = zip(names[len(names) - len(values) :], values, strict=True)
    return {name: value.value for name, value in pairs if isinstance(value, ast.Constant)}
