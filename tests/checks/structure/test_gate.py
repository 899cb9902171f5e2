from pathlib import Path
from typing import Any

from hubbot.artifacts import Finding
from hubbot.checks.structure import gate
from tests.checkpoints_on_disk import Workshop, read_folder, rewrite


def by_check(findings: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


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
