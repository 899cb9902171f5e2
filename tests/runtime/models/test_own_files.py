"""Artifacts that run on a model file of hubbot's own: loaded as stock does, and never anybody else's code."""

import importlib.util
import json
import py_compile
import shutil
from pathlib import Path

import mlx.core as mx
import mlx_lm
import numpy as np
import pytest

from hubbot.catalogue import extensions
from hubbot.errors import NoRuntime, StructureMismatch
from hubbot.runtime import loading
from tests.checkpoints_on_disk import Workshop, answer, edit_json, relative, workshop
from tests.reference.checkpoints import case

__all__ = ["workshop"]

OWLS = Path(__file__).parents[3] / "hubbot" / "devhub" / "demo_models" / "owl"
FAMILIES = {
    "jamba/orig": "jamba.py",
    "ernie4_5_moe/v5": "ernie4_5_moe.py",
    "hunyuan/fused/orig": "hunyuan.py",
    "cohere2_moe/sigmoid/v5": "cohere2_moe.py",
    "axk1/groups/orig": "axk1.py",
    "glm_moe_dsa/shared/orig": "glm_moe_dsa.py",
    "granitemoehybrid/groups/v5": "granitemoehybrid.py",
    "phimoe/longrope/orig": "phimoe.py",
    "solar_open/yarn/orig": "solar_open.py",
    "deepseek_v4/fp4_e8m0": "deepseek_v4.py",
}


def with_tokenizer(folder: Path) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(OWLS / name, folder / name)
    return folder


def spoiling(folder: Path) -> tuple[str, Path]:
    """Code that leaves a trace when it is run, and where."""
    trace = folder.parent / "it was run"
    return f"\nopen({str(trace)!r}, 'w').close()\n", trace


@pytest.mark.parametrize(("name", "file"), FAMILIES.items())
def test_the_artifact_holds_the_file_byte_for_byte_and_loads(name: str, file: str, workshop: Workshop) -> None:
    folder = workshop.artifact(name, "fp32")
    assert (folder / file).read_bytes() == extensions.content(file)
    assert json.loads((folder / "config.json").read_text())["model_file"] == file
    assert loading.own_file(folder) == file
    with mx.stream(mx.cpu):
        found = np.array(loading.load(folder)(mx.array(case(name).ids)[None])[0])
    assert relative(found, case(name).logits) < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_stock_mlx_lm_asks_for_trust_and_then_computes_the_same(
    name: str, workshop: Workshop, tmp_path: Path
) -> None:
    folder = with_tokenizer(workshop.copy(name, "fp32", tmp_path / "x"))
    with pytest.raises(ValueError, match="trust_remote_code"):
        mlx_lm.load(str(folder))
    with mx.stream(mx.cpu):
        model, *_ = mlx_lm.load(str(folder), trust_remote_code=True)
    assert relative(answer(model, case(name).ids), case(name).logits) < 1e-5


@pytest.mark.parametrize(
    "name",
    [
        "glm_moe_dsa/shared/orig",
        "granitemoehybrid/groups/orig",
        "phimoe/longrope/orig",
        "phimoe/window/orig",
        "solar_open/yarn/orig",
    ],
)
def test_a_loader_that_ignores_the_file_stops_where_mlx_lm_has_a_class_of_that_name(
    name: str, workshop: Workshop, tmp_path: Path
) -> None:
    folder = workshop.copy(name, "fp32", tmp_path / "x")
    edit_json(folder / "config.json", "model_file")
    with pytest.raises(StructureMismatch, match=r"parameters|weights"):
        loading.load(folder)


@pytest.mark.parametrize("name", ["glm_moe_dsa/orig", "granitemoehybrid/orig", "phimoe/orig", "solar_open/orig"])
def test_an_extension_that_is_not_needed_is_not_published(name: str, workshop: Workshop) -> None:
    folder = workshop.artifact(name, "bf16")
    assert not list(folder.glob("*.py"))
    assert "model_file" not in json.loads((folder / "config.json").read_text())


def test_it_is_loaded_to_speak_and_keeps_what_its_config_says(workshop: Workshop, tmp_path: Path) -> None:
    folder = with_tokenizer(workshop.copy("hunyuan_v1_moe/orig", "4bit", tmp_path / "x"))
    loaded = loading.load_to_speak(folder)
    assert loaded.config["model_file"] == "hunyuan.py"
    assert type(loaded.model).__module__ == f"{extensions.PACKAGE}.hunyuan"
    assert loaded.upcast == (loading.describe()["device"] == "CPU")


def test_a_file_with_one_byte_more_is_not_run(workshop: Workshop, tmp_path: Path) -> None:
    folder = with_tokenizer(workshop.copy("jamba/orig", "fp32", tmp_path / "x"))
    code, trace = spoiling(folder)
    (folder / "jamba.py").write_bytes(extensions.content("jamba.py") + code.encode())
    assert loading.own_file(folder) is None
    with pytest.raises(StructureMismatch, match="trust_remote_code"):
        loading.load(folder)
    with pytest.raises(ValueError, match="trust_remote_code"):
        loading.load_to_speak(folder)
    assert not trace.exists()


@pytest.mark.parametrize("file", ["evil.py", "../evil.py", "jamba", 3, ["jamba.py"]])
def test_no_other_model_file_is_run_or_built(file: object, workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("jamba/orig", "fp32", tmp_path / "x")
    code, trace = spoiling(folder)
    for path in (folder / "evil.py", folder.parent / "evil.py"):
        path.write_bytes(extensions.content("jamba.py") + code.encode())
    edit_json(folder / "config.json", model_file=file)
    with pytest.raises(StructureMismatch):
        loading.load(folder)
    with pytest.raises(NoRuntime, match="not one of hubbot's own"):
        loading.skeleton(json.loads((folder / "config.json").read_text()))
    assert not trace.exists()


def test_a_compiled_file_beside_the_own_one_is_not_run(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("jamba/orig", "fp32", tmp_path / "x")
    code, trace = spoiling(folder)
    other = tmp_path / "other.py"
    other.write_bytes(extensions.content("jamba.py") + code.encode())
    compiled = importlib.util.cache_from_source(str(folder / "jamba.py"))
    py_compile.compile(str(other), compiled, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    loading.load(folder)
    assert not trace.exists()
    # What it would have done in a loader that takes the folder's file: the trap is a real one.
    spec = importlib.util.spec_from_file_location("custom_model", folder / "jamba.py")
    assert spec
    assert spec.loader
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert trace.exists()


def test_arguments_are_those_of_the_own_class(workshop: Workshop) -> None:
    config = json.loads((workshop.artifact("hunyuan/fused/orig", "fp32") / "config.json").read_text())
    args = loading.effective_args(config)
    assert args["renormalise_top_k"] is False
    assert args["cla_share_factor"] == 3
    assert args["rope_scaling"]["alpha"] == 50.0
