"""Which config keys transformers' own class of a model type reads, found in its installed source by parsing it.

It never imports or runs transformers and takes file names from transformers' own table of model types only.
What it cannot tell apart counts as read: a key that is passed over for want of a reader is really read nowhere.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

PACKAGE = "transformers"
# Beside a model's own files: what turns a config into masks and rotary embeddings for every model.
_SHARED = ("masking_utils.py", "modeling_rope_utils.py")
_TYPES = "models/auto/auto_mappings.py"
_CLASSES = "models/auto/modeling_auto.py"
_TEXT = "text_config"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReaders:
    """What one class of transformers reads of its config: `names` are all keys that its code could ask for.

    `defaults` are the literals that its config class gives to keys a config.json leaves out, `asked` those that
    its code takes where it asks for a key that is not there, `derived` the keys that the config class works out of
    others where they are left out. `version` is that of transformers.
    """

    version: str
    names: frozenset[str]
    defaults: Mapping[str, Any]
    asked: Mapping[str, Any]
    derived: frozenset[str]


def readers(model_type: str, *inner_types: str) -> SourceReaders | None:
    """Return what transformers' class of `model_type` reads, with those of `inner_types` (a text_config's).

    None where transformers is not installed or has no such class. Types unknown to it among `inner_types` are
    passed over.
    """
    known = _folders()
    if model_type not in known:
        return None
    # Only types of transformers' own table are kept in memory, whatever a config says.
    return _scanned(model_type, tuple(one for one in inner_types if one in known))


def config_classes() -> dict[str, list[ast.ClassDef]]:
    """Return the config classes of every model type of transformers: bases, its own, and that of its text_config.

    Of its own file alone; empty where transformers is not installed.
    """
    root, found = _root(), {}
    for folder in sorted(set(_folders().values())) if root else ():
        tree = _parsed(Path(str(root)) / "models" / folder / f"configuration_{folder}.py")
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)} if tree else {}
        for node in classes.values():
            kind = _literal(node, "model_type")
            if kind in _folders():
                inner = [classes[name] for text in _texts(node) if (name := _class_name(text)) in classes]
                found[str(kind)] = [*_with_bases(node, classes), *inner]
    return found


@cache
def _scanned(model_type: str, inner_types: tuple[str, ...]) -> SourceReaders:
    root = _root()
    assert root is not None, "the table of types was read there"
    types = (model_type, *inner_types)
    folders = dict.fromkeys(folder for one in types for folder in (_folders()[one], *_lending_folders(root, one)))
    files = _followed(root, folders)
    trees = {path: tree for path in files if (tree := _parsed(path))}
    classes = {node.name: node for tree in trees.values() for node in tree.body if isinstance(node, ast.ClassDef)}
    inside = _type_inside(classes, model_type)
    if not inner_types and inside in _folders():
        return _scanned(model_type, (str(inside),))
    asked = (found for tree in trees.values() for found in _asked_defaults(tree))
    decoder = _decoder_classes(classes, {model_type, *inner_types})
    return SourceReaders(
        version=distribution(PACKAGE).version,
        names=_shared_names(root) | {name for tree in trees.values() for name in _names(tree)},
        defaults={key: value for one in decoder for key, value in _defaults(one)},
        asked=dict(asked),
        derived=frozenset(name for one in decoder for name in _assigned(one)),
    )


def _root() -> Path | None:
    try:
        path = Path(str(distribution(PACKAGE).locate_file(PACKAGE)))
    except PackageNotFoundError:
        return None
    return path if path.is_dir() else None


@cache
def _folders() -> Mapping[str, str]:
    """Return the folder of every model type that transformers lists."""
    root = _root()
    tables = dict(_tables(root / _TYPES)) if root else {}
    own = {model_type: model_type.replace("-", "_") for model_type, _ in tables.get("CONFIG_MAPPING_NAMES", ())}
    return own | dict(tables.get("SPECIAL_MODEL_TYPE_TO_MODULE_NAME", ()))


def _tables(path: Path) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Yield (name, rows) of every table of a file: NAME = OrderedDict([(model type, value), ...])."""
    tree = _parsed(path)
    for node in tree.body if tree else ():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
            target, rows = node.targets[0], _value(node.value.args[0])
            if isinstance(target, ast.Name) and isinstance(rows, list):
                yield target.id, rows


def _lending_folders(root: Path, model_type: str) -> Iterator[str]:
    """Yield the folders of the model types whose classes compute one that has a config class only.

    transformers' table of classes says that `sarvam_mla` is a DeepseekV3ForCausalLM.
    """
    folder = _folders()[model_type]
    if _modeling(root, folder).is_file():
        return
    used = _class_names(root)
    names = used.get(model_type, frozenset())
    for other in dict.fromkeys(
        _folders()[one] for one, lent in used.items() if lent & names and one in _folders()
    ):
        path = _modeling(root, other)
        if path.is_file() and any(f"class {name}(" in path.read_text(encoding="utf-8") for name in names):
            yield other


def _modeling(root: Path, folder: str) -> Path:
    return root / "models" / folder / f"modeling_{folder}.py"


@cache
def _class_names(root: Path) -> Mapping[str, frozenset[str]]:
    """Return the names of the model classes that transformers takes for each model type."""
    found: dict[str, set[str]] = {}
    for name, rows in _tables(root / _CLASSES):
        for model_type, names in rows if name.endswith("MAPPING_NAMES") else ():
            found.setdefault(model_type, set()).update((names,) if isinstance(names, str) else names)
    return {model_type: frozenset(names) for model_type, names in found.items()}


def _followed(root: Path, folders: Iterable[str]) -> list[Path]:
    """Return the configuration and modeling files of `folders`, and those of other models that they import."""
    waiting = [root / "models" / folder / f"{kind}_{folder}.py" for folder in folders for kind in _KINDS]
    found: list[Path] = []
    while waiting:
        path = waiting.pop(0)
        tree = _parsed(path)
        if path in found or tree is None:
            continue
        found.append(path)
        for node in tree.body:
            # "from ..llama.modeling_llama import X" stands for models/llama/modeling_llama.py.
            if isinstance(node, ast.ImportFrom) and node.level == 2 and (node.module or "").count(".") == 1:
                folder, _, module = str(node.module).partition(".")
                if module.startswith(_KINDS) and folder != "auto":
                    waiting.append(root / "models" / folder / f"{module}.py")
    return found


_KINDS = ("configuration", "modeling")
# As transformers 5.24 and those before it call the table of configs inside a config.
_SUB_CONFIGS = ("sub_configs_defaults", "sub_configs")


@cache
def _shared_names(root: Path) -> frozenset[str]:
    trees = (_parsed(root / name) for name in _SHARED)
    return frozenset(name for tree in trees if tree for name in _names(tree))


def _parsed(path: Path) -> ast.Module | None:
    return ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else None


def _names(tree: ast.Module) -> Iterator[str]:
    """Yield the attributes that code asks for and the strings in it: a key is read by one or the other."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value
        elif isinstance(node, ast.FunctionDef):
            # __post_init__(self, sparse_attention_config=None, **kwargs) reads a key by its parameter.
            yield from (arg.arg for arg in (*node.args.args, *node.args.kwonlyargs))


def _asked_defaults(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """Yield what code takes where a key is not there: getattr(config, "key", 1), kwargs.pop("key", 1)."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or len(node.args) < 2:
            continue
        asks = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        key = node.args[-2]
        if asks in {"getattr", "get", "pop"} and isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value, _value(node.args[-1])


def _decoder_classes(classes: Mapping[str, ast.ClassDef], model_types: set[str]) -> list[ast.ClassDef]:
    """Return the config classes of the text decoder, bases first: of a wrapper, that of its text_config."""
    own = [one for one in classes.values() if _literal(one, "model_type") in model_types]
    texts = [text for one in own for text in _texts(one)]
    named = [classes[name] for text in texts if (name := _class_name(text)) in classes]
    plain = [one for one in own if not _texts(one)]
    return [base for one in named or plain for base in _with_bases(one, classes)]


def _texts(node: ast.ClassDef) -> list[ast.expr]:
    """Return what a wrapper's config class names for its text_config; nothing of a class that is no wrapper."""
    tables = [value for name in _SUB_CONFIGS for value in _assigned_to(node, name) if isinstance(value, ast.Dict)]
    return [
        value
        for table in tables
        for key, value in zip(table.keys, table.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == _TEXT
    ]


def _class_name(text: ast.expr) -> str:
    # Gemma4TextConfig, or SubConfigSpec(config_class=Gemma4TextConfig, ...)
    if isinstance(text, ast.Call):
        text = next((word.value for word in text.keywords if word.arg == "config_class"), text)
    return text.id if isinstance(text, ast.Name) else ""


def _type_inside(classes: Mapping[str, ast.ClassDef], model_type: str) -> str | None:
    """Return the model type that a wrapper takes for its text_config where that does not say: "deepseek_v3"."""
    own = [one for one in classes.values() if _literal(one, "model_type") == model_type]
    words = [word for one in own for text in _texts(one) if isinstance(text, ast.Call) for word in text.keywords]
    found = (_value(word.value) for word in words if word.arg == "model_type")
    return next((one for one in found if isinstance(one, str)), None)


def _with_bases(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> list[ast.ClassDef]:
    bases = [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    return [*(found for base in bases if base is not node for found in _with_bases(base, classes)), node]


def _assigned_to(node: ast.ClassDef, name: str) -> list[ast.expr]:
    return [
        item.value
        for item in node.body
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name) and item.targets[0].id == name
    ]


def _literal(node: ast.ClassDef, name: str) -> Any:
    return next((_value(value) for value in _assigned_to(node, name)), None)


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _defaults(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None:
            yield item.target.id, _value(item.value)


def _assigned(node: ast.ClassDef) -> Iterator[str]:
    """Yield the keys that methods of a config class set."""
    for method in node.body:
        for item in ast.walk(method) if isinstance(method, ast.FunctionDef) else ():
            if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store):
                yield item.attr
