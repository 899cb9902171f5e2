from __future__ import annotations

from pathlib import Path

from hubbot.devhub.blobs import Blobs
from hubbot.devhub.metadata import Metadata, derive_metadata


def _derive(tmp_path: Path, **files: str) -> Metadata:
    blobs = Blobs(tmp_path)
    names = {"readme": "README.md", "config": "config.json"}
    tree = {names[key]: blobs.add_regular(text.encode()) for key, text in files.items()}
    return derive_metadata(tree, blobs)


def test_a_card_decides_library_task_and_tags(tmp_path: Path) -> None:
    card = "---\nlibrary_name: mlx\npipeline_tag: text-generation\nlicense: mit\nlanguage: [en]\n"
    card += "tags: [moe, mlx]\nbase_model: [a/b]\nbase_model_relation: quantized\ndatasets: [d/e]\n---\n"
    found = _derive(tmp_path, readme=card, config='{"model_type": "mixtral"}')
    assert found.tags == (
        *("mlx", "mixtral", "moe", "text-generation", "en", "dataset:d/e"),
        *("base_model:a/b", "base_model:quantized:a/b", "license:mit"),
    )
    assert found.base_models == ("a/b",)


def test_without_a_card_the_config_says_it(tmp_path: Path) -> None:
    config = '{"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 4}'
    found = _derive(tmp_path, config=config)
    assert (found.library_name, found.pipeline_tag) == ("transformers", "text-generation")
    assert found.config == {"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"]}


def test_odd_files_say_nothing(tmp_path: Path) -> None:
    found = _derive(tmp_path, readme="---\ntags: 7\nlicense: {a: b}\nbase_model: 3\n---\n", config="[1]")
    assert (found.tags, found.config, found.parameters) == ((), None, None)
    assert _derive(tmp_path) == Metadata()
