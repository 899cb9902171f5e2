"""What the values gate says about experts that stand elsewhere, all over a layer and not only next door."""

from pathlib import Path

import numpy as np
import pytest

from hubbot.artifacts import Finding
from tests.checkpoints_on_disk import Workshop, edit_json, read_folder, rewrite

SOURCE = "qwen3_moe/hub"
STEM = "model.layers.1.mlp.switch_mlp"


def contrasts(workshop: Workshop, folder: Path) -> dict[str, Finding]:
    report = workshop.report(SOURCE, folder)
    return {finding.subject: finding for finding in report.failures if finding.check == "contrast"}


def exchange(folder: Path, projection: str, one: int, other: int) -> None:
    stored = read_folder(folder)
    for name in [name for name in stored if f"{STEM}.{projection}_proj" in name]:
        bits = stored[name][1]
        bits[[one, other]] = bits[[other, one]]
    rewrite(folder, stored)


@pytest.mark.parametrize("variant", ["bf16", "4bit", "mxfp8"])
@pytest.mark.parametrize(("one", "other"), [(0, 1), (0, 5), (2, 6)])
def test_an_expert_is_told_whose_place_it_has_taken(
    one: int, other: int, variant: str, workshop: Workshop, tmp_path: Path
) -> None:
    folder = workshop.copy(SOURCE, variant, tmp_path / "x")
    exchange(folder, "down", one, other)
    (finding,) = contrasts(workshop, folder).values()
    assert finding.subject == f"{STEM}.down_proj.weight, expert {one}"
    assert (finding.reason, finding.measured) == (f"it is expert {other}", 2)


@pytest.mark.parametrize("variant", ["bf16", "4bit"])
def test_gate_and_up_are_told_apart_in_both_directions(variant: str, workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy(SOURCE, variant, tmp_path / "x")
    stored = read_folder(folder)
    for name in [name for name in stored if f"{STEM}.gate_proj" in name]:
        other = name.replace("gate_proj", "up_proj")
        stored[name][1][4], stored[other][1][4] = stored[other][1][4].copy(), stored[name][1][4].copy()
    rewrite(folder, stored)
    found = contrasts(workshop, folder)
    assert set(found) == {f"{STEM}.{name}_proj.weight, expert 4" for name in ("gate", "up")}
    assert {finding.reason for finding in found.values()} == {"gate and up are swapped"}


def test_a_plain_parameter_is_told_which_other_one_it_is(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy(SOURCE, "bf16", tmp_path / "x")
    stored = read_folder(folder)
    one, other = "model.layers.0.self_attn.k_proj.weight", "model.layers.1.self_attn.v_proj.weight"
    stored[one] = stored[other]
    rewrite(folder, stored)
    assert [(f.subject, f.reason) for f in contrasts(workshop, folder).values()] == [(one, f"it is {other}")]


def test_noise_looks_like_nothing_and_is_refused_by_its_values(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy(SOURCE, "4bit", tmp_path / "x")
    stored = read_folder(folder)
    bits = stored[f"{STEM}.up_proj.weight"][1]
    bits[3] = np.random.default_rng(1).integers(0, 2**32, bits[3].shape, dtype=np.uint32)
    rewrite(folder, stored)
    edit_json(folder / "hubbot.json", files=[])
    report = workshop.report(SOURCE, folder)
    assert {(f.check, f.subject) for f in report.failures} == {("values", f"{STEM}.up_proj.weight")}
