import ast
import hashlib
from pathlib import Path

import pytest

from hubbot.catalogue import extensions


def test_the_extensions_are_the_files_of_the_folder_of_models() -> None:
    assert extensions.names() == (
        "axk1.py",
        "cohere2_moe.py",
        "ernie4_5_moe.py",
        "glm_moe_dsa.py",
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
