from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hubbot.artifacts import Finding
from tests.checkpoints_on_disk import Stored, converted, judged, look, read_folder, safetensors
from tests.reference.checkpoints import case, write

ROUTER = "model.layers.0.mlp.gate.weight"
PARTS = ("gate", "up", "down")


def as_alike(stored: Stored, one: int, other: int) -> None:
    """Give two experts the same weights."""
    for part in PARTS:
        names = [f"model.layers.0.mlp.experts.{number}.{part}_proj.weight" for number in (one, other)]
        stored[names[1]] = stored[names[0]]


def zeroed(stored: Stored) -> None:
    dtype, router = stored[ROUTER]
    stored[ROUTER] = dtype, np.zeros_like(router)


def doubled(stored: Stored) -> None:
    dtype, router = stored[ROUTER]
    stored[ROUTER] = dtype, np.concatenate([router[:-1], router[1:2]])


def zeros_of_both_signs(stored: Stored) -> None:
    dtype, router = stored[ROUTER]
    router = router.copy()
    router[2], router[4] = 0, 1 << 31
    stored[ROUTER] = dtype, router


def of_equal_experts(stored: Stored) -> None:
    doubled(stored)
    as_alike(stored, 1, len(stored[ROUTER][1]) - 1)


def of_one_expert_twice_elsewhere(stored: Stored) -> None:
    as_alike(stored, 0, 1)


def verdict(
    tmp_path: Path, change: Callable[[Stored], None], name: str = "qwen3_moe/orig"
) -> tuple[str, list[Finding]]:
    folder = write(case(name), tmp_path / "source")
    stored = read_folder(folder)
    change(stored)
    (shard,) = folder.glob("*.safetensors")
    shard.write_bytes(safetensors(stored))
    source = look(folder)
    report = judged(source, converted(source, tmp_path / "out", "4bit")["4bit"])
    return report.verdict, [found for found in report.findings if found.check == "router decides"]


@pytest.mark.parametrize("change", [zeroed, doubled, zeros_of_both_signs])
def test_a_router_that_scores_two_different_experts_alike_is_refused(
    change: Callable[[Stored], None], tmp_path: Path
) -> None:
    told, found = verdict(tmp_path, change)
    assert told == "refused"
    (one,) = found
    assert (one.subject, one.status) == (ROUTER, "fail")
    assert "have the same row" in one.measured


@pytest.mark.parametrize("change", [of_equal_experts, of_one_expert_twice_elsewhere])
def test_experts_that_are_the_same_may_share_a_row_of_the_router(
    change: Callable[[Stored], None], tmp_path: Path
) -> None:
    assert verdict(tmp_path, change) == ("approved", [])
