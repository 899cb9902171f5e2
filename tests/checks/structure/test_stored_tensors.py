import json
from pathlib import Path
from typing import Any

import pytest

from hubbot.artifacts import Finding
from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.checks.structure.stored_tensors import check_index, check_tensors
from hubbot.runtime import loading
from tests.checkpoints_on_disk import Workshop


def by_check(findings: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": "b"}}'])
def test_an_index_that_is_none_disagrees_with_the_headers(text: str, workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("qwen3_moe/square/hub", "bf16", tmp_path / "x")
    (folder / "model.safetensors.index.json").write_text(text)
    stored = StoredParameters(folder, {})
    assert by_check(check_index(folder, stored))["index"].status == "fail"


def test_one_shard_needs_no_index(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("qwen3_moe/square/hub", "bf16", tmp_path / "x")
    (folder / "model.safetensors.index.json").unlink()
    assert by_check(check_index(folder, StoredParameters(folder, {})))["index"].status == "pass"


def test_a_router_of_eight_bits_passes_and_is_counted(workshop: Workshop) -> None:
    folder = workshop.artifact("qwen3_moe/bf16", "3bit")
    config = json.loads((folder / "config.json").read_text())
    shapes = {parameter.name: parameter.shape for parameter in loading.skeleton(config)}
    found = by_check(check_tensors(StoredParameters(folder, shapes), shapes, config))
    assert {finding.status for finding in found.values()} == {"pass"}
    assert found["router bits"].subject == "2 routers"


def test_a_config_without_its_quantization_block_fails_by_bits(workshop: Workshop) -> None:
    folder = workshop.artifact("qwen3_moe/bf16", "4bit")
    config = json.loads((folder / "config.json").read_text())
    shapes = {parameter.name: parameter.shape for parameter in loading.skeleton(config)}
    stored = StoredParameters(folder, shapes)
    blocks: list[Any] = [None, "x", [], {}]
    for block in blocks:
        found = by_check(check_tensors(stored, shapes, config | {"quantization": block}))
        assert found["bits"].status == "fail"
