import ast
import hashlib
import io
import re
import tokenize
from pathlib import Path

import pytest

from hubbot.catalogue import extensions


def test_the_extensions_are_the_files_of_the_folder_of_models() -> None:
    assert extensions.names() == (
        "axk1.py",
        "cohere2_moe.py",
        "deepseek_v4.py",
        "ernie4_5_moe.py",
        "glm_moe_dsa.py",
        "granitemoehybrid.py",
        "hunyuan.py",
        "jamba.py",
        "phimoe.py",
        "solar_open.py",
    )


@pytest.mark.parametrize("name", extensions.names())
def test_an_extension_stands_alone(name: str) -> None:
    tree = ast.parse(extensions.content(name))
    imported = {
        module.split(".")[0]
        for node in ast.walk(tree)
        for module in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "."]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= {"mlx", "mlx_lm", "dataclasses", "typing", "math"}


@pytest.mark.parametrize("name", extensions.names())
def test_a_file_is_own_only_under_its_name_and_with_its_bytes(name: str) -> None:
    sha = hashlib.sha256(extensions.content(name)).hexdigest()
    assert extensions.is_own(name, sha)
    assert not extensions.is_own(name, "0" * 64)
    assert not extensions.is_own(name, None)
    assert not extensions.is_own(f"sub/{name}", sha)
    assert not extensions.is_own(None, sha)


def test_whatever_else_can_run_is_foreign() -> None:
    own = {"jamba.py": extensions.digest("jamba.py")}
    assert extensions.foreign({**own, "model.safetensors": "a", "config.json": "b"}) == []
    files = {**own, "hunyuan.py": "x", "sub/jamba.py": own["jamba.py"], "a.pkl": "y", "w.bin": "z"}
    assert extensions.foreign(files) == ["a.pkl", "hunyuan.py", "sub/jamba.py", "w.bin"]


def test_there_is_no_content_beyond_the_names() -> None:
    for name in ("__init__.py", "../runtime.py", str(Path("/etc/hosts"))):
        with pytest.raises(KeyError):
            extensions.content(name)


def commented_lines(name: str) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(extensions.content(name).decode()).readline)
    return {token.start[0] for token in tokens if token.type == tokenize.COMMENT and len(token.string) > 12}


@pytest.mark.parametrize("name", extensions.names())
def test_every_field_that_an_extension_reads_is_explained_above_it_with_its_origin(name: str) -> None:
    args = next(
        node
        for node in ast.parse(extensions.content(name)).body
        if isinstance(node, ast.ClassDef) and node.name == "ModelArgs"
    )
    lines, comments = extensions.content(name).decode().splitlines(), commented_lines(name)
    fields = {
        node.target.id: node.lineno
        for node in args.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    told: dict[str, str] = {}
    for field, line in fields.items():
        above = line - 1
        while above in comments:
            told[field] = lines[above - 1].strip("# ") + " " + told.get(field, "")
            above -= 1
    assert [field for field in fields if field not in told] == []
    origins = re.compile(r"\bkey\b|hubbot writes|transformers|Tencent", re.IGNORECASE)
    assert [field for field in fields if field != "model_type" and not origins.search(told[field])] == []


@pytest.mark.parametrize("name", extensions.names())
def test_every_computation_longer_than_a_line_has_a_comment_on_its_data_flow(name: str) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(extensions.content(name)))
        if isinstance(node, ast.FunctionDef) and node.name == "__call__" and len(node.body) > 2
    ]
    comments = commented_lines(name)
    assert calls
    assert [node.lineno for node in calls if not comments & set(range(node.lineno, node.end_lineno or 0))] == []
