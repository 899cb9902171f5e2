"""Custom recipes: a TOML file in, a variant out. Every key is checked; what is unknown is refused by name.

name = "mine"                  # names the folder and the repo
dtype = "bf16"                 # of everything unquantized; default: the source's 16-bit dtype
experts = { bits = 3 }         # routed experts; leave out for unquantized
rest = { bits = 6, group_size = 32 }
[[rule]]                       # exceptions, first match decides
pattern = "model.layers.0.*"   # or role = "attention"
bits = 8                       # or quantize = false
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubbot.catalogue.variants.named_variants import GUARDED, VARIANTS, Precision, Rule, Variant
from hubbot.catalogue.variants.roles import ROLES
from hubbot.errors import WrongUsage

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DTYPES = {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}
# What mx.quantize takes (mlx 0.32): mode -> (bits, group sizes), the preferred group first.
_MODES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "affine": ((2, 3, 4, 5, 6, 8), (64, 32, 128)),
    "mxfp4": ((4,), (32,)),
    "mxfp8": ((8,), (32,)),
    "nvfp4": ((4,), (16,)),
}
_GUARD_BITS = 8


def read_recipe(path: Path) -> Variant:
    """Return the variant that a recipe file describes, or raise WrongUsage naming file, key and fault."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WrongUsage(f"the recipe cannot be read: {error}", where=str(path)) from error
    try:
        return _variant(data)
    except ValueError as error:
        raise WrongUsage(
            f"recipe: {error}", where=str(path), hint="see hubbot/catalogue/variants/recipes.py"
        ) from error


def _variant(data: Mapping[str, Any]) -> Variant:
    _only(data, {"name", "dtype", "experts", "rest", "rule"}, "the recipe")
    name = data.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in VARIANTS:
        raise ValueError(f"name {name!r} must be letters, digits, '.', '_' or '-', and no built-in variant")
    dtype = data.get("dtype")
    if dtype is not None and dtype not in _DTYPES:
        raise ValueError(f"dtype {dtype!r} is none of {', '.join(_DTYPES)}")
    rules = data.get("rule", [])
    if not isinstance(rules, list):
        raise ValueError("rule must be written [[rule]]")
    return Variant(
        name=name,
        dtype=_DTYPES[dtype] if dtype else None,
        experts=_precision(data["experts"], "experts") if "experts" in data else None,
        rest=_precision(data["rest"], "rest") if "rest" in data else None,
        rules=tuple(_rule(rule, f"rule {number}") for number, rule in enumerate(rules, start=1)),
    )


def _rule(data: Any, where: str) -> Rule:
    if not isinstance(data, Mapping) or ("role" in data) == ("pattern" in data):
        raise ValueError(f"{where} needs either role or pattern")
    role, pattern = data.get("role"), data.get("pattern")
    if role is not None and role not in ROLES:
        raise ValueError(f"{where}: role {role!r} is none of {', '.join(sorted(ROLES))}")
    rest = {key: value for key, value in data.items() if key not in {"role", "pattern"}}
    if rest == {"quantize": False}:
        return Rule(role=role, pattern=pattern, precision=None)
    precision = _precision(rest, where)
    if role in GUARDED and precision.bits < _GUARD_BITS:
        raise ValueError(
            f"{where}: a {role} below {_GUARD_BITS} bits chooses other experts, hubbot never makes one"
        )
    return Rule(role=role, pattern=pattern, precision=precision)


def _precision(data: Any, where: str) -> Precision:
    if not isinstance(data, Mapping):
        raise ValueError(f"{where} must be a table with bits, group_size and mode")
    _only(data, {"bits", "group_size", "mode"}, where)
    mode = data.get("mode", "affine")
    if mode not in _MODES:
        raise ValueError(f"{where}: mode {mode!r} is none of {', '.join(_MODES)}")
    widths, groups = _MODES[mode]
    bits, group_size = data.get("bits", widths[0] if len(widths) == 1 else None), data.get("group_size", groups[0])
    if bits not in widths:
        raise ValueError(f"{where}: {mode} takes {' '.join(map(str, widths))} bits, not {bits!r}")
    if group_size not in groups:
        raise ValueError(f"{where}: {mode} takes groups of {' '.join(map(str, groups))}, not {group_size!r}")
    return Precision(mode=mode, bits=bits, group_size=group_size)


def _only(data: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(data) - known)
    if unknown:
        raise ValueError(f"{where} has an unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
