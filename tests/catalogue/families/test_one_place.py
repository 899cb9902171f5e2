"""A model type is named in one place: in its row, in its maker's file."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hubbot
from hubbot.catalogue.families import BY_MODEL_TYPE, RECOGNISED

PACKAGE = Path(hubbot.__file__).parent
ROWS = PACKAGE / "catalogue" / "families"
# The extensions are classes that bear a model type's name, devhub's demo models are made here.
# Versions that are known to be wrong are wrong for certain model types.
EXEMPT = (PACKAGE / "runtime" / "models", PACKAGE / "devhub", PACKAGE / "catalogue" / "known_bad_versions.py")
MODEL_TYPES = {*BY_MODEL_TYPE, *(entry.model_type for entry in RECOGNISED)}
# In a row these name classes of mlx-lm or of transformers.
CLASSES = {"runtime", "runtime_type", "text_args", "text_type", "text_types", "transformers_type"}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if not any(path.is_relative_to(folder) for folder in EXEMPT):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def rows(tree: ast.Module) -> Iterator[ast.keyword]:
    """The model_type of every row that a module writes."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"Family", "Recognised"}
        ):
            yield from (keyword for keyword in node.keywords if keyword.arg == "model_type")


def classes(tree: ast.Module) -> Iterator[ast.AST]:
    """The values that name classes, as arguments of a row or in a dictionary that rows share."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in CLASSES:
            yield from ast.walk(node.value)
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in CLASSES:
                    yield from ast.walk(value)


def test_every_row_spells_its_model_type_once_and_is_found() -> None:
    spelled = [keyword.value for _, tree in trees() for keyword in rows(tree)]
    assert all(isinstance(value, ast.Constant) for value in spelled)
    counts = Counter(value.value for value in spelled if isinstance(value, ast.Constant))
    assert {model_type for model_type, count in counts.items() if count > 1} == set()
    assert set(counts) == MODEL_TYPES


def test_rows_stand_in_the_files_of_their_makers() -> None:
    assert {path.parent for path, tree in trees() if any(rows(tree))} == {ROWS}


def test_no_other_module_names_a_model_type() -> None:
    named = {
        f"{path.relative_to(PACKAGE)}:{node.lineno} {node.value}"
        for path, tree in trees()
        for allowed in [{id(value) for value in (*(row.value for row in rows(tree)), *classes(tree))}]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in MODEL_TYPES and id(node) not in allowed
    }
    assert named == set()


def test_reading_the_rows_loads_nothing_heavy() -> None:
    program = "import sys, hubbot.catalogue.families; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert not {"mlx", "mlx_lm", "numpy", "torch", "transformers", "pydantic"} & set(loaded)
