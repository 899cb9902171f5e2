from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors import safe_open

from hubbot.devhub import demo_models
from hubbot.devhub.demo_models.weights import read_weights, widen
from hubbot.devhub.demo_repos import DemoRepo, write_demo_repos

if TYPE_CHECKING:
    from collections.abc import Mapping

DEMO_MODELS = Path(demo_models.__file__).parent


@pytest.fixture(scope="module")
def demo_repos(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, DemoRepo]:
    written = write_demo_repos(tmp_path_factory.mktemp("demo_repos"))
    return {demo_repo.repo_id.removeprefix("fables/"): demo_repo for demo_repo in written}


def config(demo_repo: DemoRepo) -> dict[str, object]:
    return dict(json.loads((demo_repo.folder / "config.json").read_text("utf-8")))


def test_six_repos_are_shown_and_four_of_them_ought_to_be_published(demo_repos: Mapping[str, DemoRepo]) -> None:
    expected = sorted(demo_repo.expected for demo_repo in demo_repos.values())

    assert expected == ["parked", *["published"] * 4, "skipped"]


def test_every_repo_is_complete(demo_repos: Mapping[str, DemoRepo]) -> None:
    for demo_repo in demo_repos.values():
        names = {path.name for path in demo_repo.folder.iterdir()}

        assert names >= {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"}
        assert names >= {"README.md", "LICENSE"}
        assert any(name.endswith(".safetensors") for name in names)


def test_every_card_names_the_licence_and_the_task(demo_repos: Mapping[str, DemoRepo]) -> None:
    for demo_repo in demo_repos.values():
        matter = (demo_repo.folder / "README.md").read_text("utf-8").split("---\n")[1]

        assert "license: apache-2.0\n" in matter
        assert "pipeline_tag: text-generation\n" in matter
        assert "library_name: transformers\n" in matter
        assert ("- moe\n" in matter) == (demo_repo.expected != "skipped")


def test_the_same_bytes_are_written_every_time(demo_repos: Mapping[str, DemoRepo], tmp_path: Path) -> None:
    for demo_repo in write_demo_repos(tmp_path):
        first = demo_repos[demo_repo.repo_id.removeprefix("fables/")].folder
        files = sorted(path.name for path in demo_repo.folder.iterdir())

        assert files == sorted(path.name for path in first.iterdir())
        assert all((first / name).read_bytes() == (demo_repo.folder / name).read_bytes() for name in files)


def test_the_float32_repo_is_the_speaker_widened_exactly(demo_repos: Mapping[str, DemoRepo]) -> None:
    source = read_weights(DEMO_MODELS / "fox" / "model.safetensors")
    wide = read_weights(demo_repos["Fox-8x-MoE-per-expert"].folder / "model.safetensors")

    assert wide.keys() == source.keys()
    assert all(np.array_equal(wide[name].view("<u4"), source[name].astype("<u4") << 16) for name in source)
    assert config(demo_repos["Fox-8x-MoE-per-expert"])["dtype"] == "float32"


def test_fused_rows_are_gate_then_up_of_each_expert(demo_repos: Mapping[str, DemoRepo]) -> None:
    fused = read_weights(demo_repos["Fox-8x-MoE-fused"].folder / "model.safetensors")
    alone = read_weights(demo_repos["Fox-8x-MoE-per-expert"].folder / "model.safetensors")
    for layer in range(3):
        place = f"model.layers.{layer}.mlp.experts"
        gate_up, down = widen(fused.pop(f"{place}.gate_up_proj")), widen(fused.pop(f"{place}.down_proj"))

        assert gate_up.shape == (8, 256, 128)
        assert down.shape == (8, 128, 128)
        for expert in range(8):
            gate, up, back = (alone.pop(f"{place}.{expert}.{part}_proj.weight") for part in ("gate", "up", "down"))
            assert np.array_equal(gate_up[expert, :128], gate)
            assert np.array_equal(gate_up[expert, 128:], up)
            assert np.array_equal(down[expert], back)
    assert fused.keys() == alone.keys()


def test_the_owl_is_float16_with_the_names_of_mixtral(demo_repos: Mapping[str, DemoRepo]) -> None:
    owl = demo_repos["Owl-8x-Mixtral"]
    with safe_open(owl.folder / "model.safetensors", framework="np") as file:
        names = set(file.keys())

        assert {file.get_slice(name).get_dtype() for name in names} == {"F16"}
    assert {f"model.layers.2.block_sparse_moe.experts.7.{part}.weight" for part in ("w1", "w2", "w3")} <= names
    assert "lm_head.weight" not in names
    assert config(owl)["tie_word_embeddings"] is True
    assert config(owl)["torch_dtype"] == "float16"


def test_the_index_of_the_sharded_repo_is_a_bijection(demo_repos: Mapping[str, DemoRepo]) -> None:
    folder = demo_repos["Fox-8x-MoE-sharded"].folder
    index = json.loads((folder / "model.safetensors.index.json").read_text("utf-8"))
    stored = [(name, path.name) for path in folder.glob("model-*.safetensors") for name in read_weights(path)]

    assert sorted(index["weight_map"].items()) == sorted(stored)
    assert len(stored) == len({name for name, _ in stored})
    assert len(set(index["weight_map"].values())) == 4
    assert {re.sub(r"model-\d{5}-", "", shard) for shard in index["weight_map"].values()} == {
        "of-00004.safetensors"
    }


def test_the_experts_of_one_layer_lie_in_several_shards(demo_repos: Mapping[str, DemoRepo]) -> None:
    folder = demo_repos["Fox-8x-MoE-sharded"].folder
    homes = json.loads((folder / "model.safetensors.index.json").read_text("utf-8"))["weight_map"]
    for layer in range(3):
        names = [f"model.layers.{layer}.mlp.experts.{expert}.up_proj.weight" for expert in range(8)]

        assert len({homes[name] for name in names}) == 4


def test_the_sharded_repo_speaks_the_old_dialect_and_the_fused_one_the_new(
    demo_repos: Mapping[str, DemoRepo],
) -> None:
    old, new = config(demo_repos["Fox-8x-MoE-sharded"]), config(demo_repos["Fox-8x-MoE-fused"])

    assert old["rope_theta"] == 10007.0
    assert old["num_experts"] == 8
    assert old["torch_dtype"] == "bfloat16"
    assert new["rope_parameters"] == {"rope_theta": 10007.0, "rope_type": "default"}
    assert not {"rope_theta", "num_experts", "torch_dtype"} & new.keys()


def test_the_broken_repo_lacks_exactly_one_expert(demo_repos: Mapping[str, DemoRepo]) -> None:
    whole = read_weights(DEMO_MODELS / "fox" / "model.safetensors").keys()
    broken = read_weights(demo_repos["Fox-8x-MoE-broken"].folder / "model.safetensors").keys()

    assert broken < whole
    assert whole - broken == {
        f"model.layers.2.mlp.experts.5.{part}_proj.weight" for part in ("gate", "up", "down")
    }


def test_the_dense_repo_has_no_trace_of_experts(demo_repos: Mapping[str, DemoRepo]) -> None:
    hare = demo_repos["Hare-dense"]
    names = read_weights(hare.folder / "model.safetensors").keys()

    assert config(hare)["model_type"] == "qwen3"
    assert not any("expert" in key or "moe" in key for key in config(hare))
    assert not any("expert" in name or ".mlp.gate." in name for name in names)
    assert {f"model.layers.1.mlp.{part}_proj.weight" for part in ("gate", "up", "down")} <= names


def test_the_packaged_models_are_small() -> None:
    files = [path for name in ("fox", "owl") for path in (DEMO_MODELS / name).iterdir()]

    assert sum(path.stat().st_size for path in files) < 5_000_000
