import json
from pathlib import Path
from typing import Any

import pytest

from hubbot.artifacts import Artifact, Finding
from hubbot.checkpoints import FileInfo, Repo
from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.checks.structure import gate
from hubbot.runtime import loading
from tests.checkpoints_on_disk import Workshop, read_folder, rewrite


def artifact(**files: str) -> Artifact:
    return Artifact(
        source=Repo(id="o/m", revision="0" * 40), variant="4bit", path="x", nbytes=1, bits_per_weight=4.0,
        files=tuple(FileInfo(path=path, size=1, sha256=sha) for path, sha in files.items()),
    )  # fmt: skip


def by_check(findings: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


def test_files_as_recorded_pass() -> None:
    found = by_check(gate.check_files(artifact(config="a"), {"config": "a", "hubbot.json": "z", "README.md": "y"}))
    assert {finding.status for finding in found.values()} == {"pass"}


@pytest.mark.parametrize("digests", [{}, {"config": "b"}])
def test_a_lost_or_changed_file_fails_by_name(digests: dict[str, str]) -> None:
    found = by_check(gate.check_files(artifact(config="a"), digests))
    assert (found["file hashes"].status, found["file hashes"].subject) == ("fail", "config")


def test_without_records_hashes_are_not_run_and_strays_cannot_be_told() -> None:
    found = by_check(gate.check_files(artifact(), {"anything": "a", "tool.py": "b"}))
    assert found["file hashes"].status == "not-run"
    assert found["foreign files"].status == "pass"
    assert found["foreign code"].status == "fail"


def test_what_is_written_about_an_artifact_afterwards_is_no_stray() -> None:
    found = by_check(gate.check_files(artifact(config="a"), {"config": "a", "report.json": "x", "odd.txt": "y"}))
    assert (found["foreign files"].measured, found["foreign files"].subject) == (1, "odd.txt")


def test_hashes_are_those_of_sha256sum_also_in_subfolders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert gate.hash_files(tmp_path) == {"sub/a.txt": expected}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": "b"}}'])
def test_an_index_that_is_none_disagrees_with_the_headers(text: str, workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("qwen3_moe/square/hub", "bf16", tmp_path / "x")
    (folder / "model.safetensors.index.json").write_text(text)
    stored = StoredParameters(folder, {})
    assert by_check(gate.check_index(folder, stored))["index"].status == "fail"


def test_one_shard_needs_no_index(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("qwen3_moe/square/hub", "bf16", tmp_path / "x")
    (folder / "model.safetensors.index.json").unlink()
    assert by_check(gate.check_index(folder, StoredParameters(folder, {})))["index"].status == "pass"


def test_a_router_of_eight_bits_passes_and_is_counted(workshop: Workshop) -> None:
    folder = workshop.artifact("qwen3_moe/bf16", "3bit")
    config = json.loads((folder / "config.json").read_text())
    shapes = {parameter.name: parameter.shape for parameter in loading.skeleton(config)}
    found = by_check(gate.check_tensors(StoredParameters(folder, shapes), shapes, config))
    assert {finding.status for finding in found.values()} == {"pass"}
    assert found["router bits"].subject == "2 routers"


def test_a_config_without_its_quantization_block_fails_by_bits(workshop: Workshop) -> None:
    folder = workshop.artifact("qwen3_moe/bf16", "4bit")
    config = json.loads((folder / "config.json").read_text())
    shapes = {parameter.name: parameter.shape for parameter in loading.skeleton(config)}
    stored = StoredParameters(folder, shapes)
    blocks: list[Any] = [None, "x", [], {}]
    for block in blocks:
        found = by_check(gate.check_tensors(stored, shapes, config | {"quantization": block}))
        assert found["bits"].status == "fail"


def test_a_source_form_that_sanitize_still_has_to_change_is_not_idempotent(
    workshop: Workshop, tmp_path: Path
) -> None:
    folder = workshop.copy("qwen3_moe/square/hub", "bf16", tmp_path / "x")
    rewrite(folder, read_folder(workshop.source("qwen3_moe/square/hub").folder))
    found = by_check(gate.check_load(folder))
    assert found["strict load"].status == "pass"
    assert found["sanitize idempotent"].status == "fail"


def test_what_stock_mlx_lm_refuses_is_told_in_its_words(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("qwen3_moe/square/hub", "bf16", tmp_path / "x")
    stored = read_folder(folder)
    del stored["model.norm.weight"]
    rewrite(folder, stored)
    found = by_check(gate.check_load(folder))
    assert found["strict load"].status == "fail"
    assert "model.norm.weight" in str(found["strict load"].measured) or "issing" in str(
        found["strict load"].measured
    )
