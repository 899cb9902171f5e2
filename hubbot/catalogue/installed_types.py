"""Which MoE model types the installed transformers and mlx-lm know, found in their source by parsing it.

It imports neither. A config class with a field of experts, or a model file that builds on mlx-lm's switch layers,
counts; what hubbot makes of a type stands in families/.
"""

import ast
from collections.abc import Collection, Iterator, Mapping
from functools import cache

from hubbot.catalogue import runtimes
from hubbot.catalogue.configs import source_readers
from hubbot.catalogue.families import FAMILIES, RECOGNISED

SWITCH_LAYERS = "switch_layers"
# What a field of a mixture of experts has in its name; "moe_k" is ERNIE's number of experts a token.
_SIGNS = ("expert", "moe_k", "moe_top")


def missing() -> Mapping[str, tuple[str, ...]]:
    """Return, by package, the MoE model types that neither a converting nor a recognised row names."""
    named = {row.model_type for row in FAMILIES} | {row.model_type for row in RECOGNISED}
    # A model file may have a name of its own, which no config.json says.
    files = {row.runtime for row in FAMILIES} | named
    return {
        source_readers.PACKAGE: tuple(sorted(set(of_transformers()) - named)),
        runtimes.PACKAGE: tuple(sorted(set(of_mlx_lm()) - files)),
    }


@cache
def of_transformers() -> frozenset[str]:
    """Return the model types of transformers whose config class, or that of their text_config, has experts."""
    return frozenset(_with_experts(source_readers.config_classes()))


def _with_experts(classes: Mapping[str, Collection[ast.ClassDef]]) -> Iterator[str]:
    for model_type, found in classes.items():
        if any(sign in name for node in found for name in _fields(node) for sign in _SIGNS):
            yield model_type


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """Yield the fields that a config class declares, those that it calls by another name among them."""
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield item.target.id
        elif isinstance(item, ast.Assign) and isinstance(item.value, ast.Dict) and _is_map(item.targets[0]):
            yield from (str(key.value) for key in item.value.keys if isinstance(key, ast.Constant))


def _is_map(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "attribute_map"


@cache
def of_mlx_lm() -> frozenset[str]:
    """Return the model files of mlx-lm that build on its switch layers, and the types that it loads by one."""
    parts = {name: runtimes.neighbours(name) for name in runtimes.model_files()}
    sparse = {name for name in parts if name != SWITCH_LAYERS and SWITCH_LAYERS in _reached(name, parts)}
    return frozenset(sparse | {kind for kind, file in runtimes.remapped().items() if file in sparse})


def _reached(name: str, parts: Mapping[str, frozenset[str]]) -> set[str]:
    found: set[str] = set()
    waiting = {name}
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting |= parts.get(one, frozenset()) - found
    return found
