from collections import Counter

import pytest

from hubbot.windows import peak_shard_bytes, windows_of
from tests.checkpoints_on_disk import Workshop, planned, workshop

__all__ = ["workshop"]

CASES = ["qwen3_moe/sharded", "mixtral/sharded", "qwen3_moe/v5", "minimax_m2/hub"]
LIMITS = [1, 100_000, 1 << 40]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", CASES)
def test_every_move_is_in_one_window_and_every_shard_goes_after_its_last_use(
    name: str, limit: int, workshop: Workshop
) -> None:
    source = workshop.source(name)
    plan = planned(source, "bf16", "4bit")
    windows = windows_of(plan, source.checkpoint.tensors, limit)
    assert Counter(move.output for window in windows for move in window.moves) == Counter(
        move.output for move in plan.moves
    )
    assert [window.number for window in windows] == list(range(len(windows)))
    gone: set[str] = set()
    for window in windows:
        read = {source.checkpoint.tensors[name].shard for move in window.moves for name in move.sources}
        assert set(window.shards) == read
        assert not read & gone
        gone |= set(window.released)
    assert gone == set(source.checkpoint.shards)


@pytest.mark.parametrize("name", CASES)
def test_windows_hold_about_the_limit_and_together_all_bytes(name: str, workshop: Workshop) -> None:
    source = workshop.source(name)
    plan = planned(source, "4bit")
    windows = windows_of(plan, source.checkpoint.tensors, 100_000)
    assert len(windows) > 2
    assert all(window.nbytes <= 100_000 or len(window.moves) == 1 for window in windows)
    dropped = sum(source.checkpoint.tensors[drop.name].nbytes for drop in plan.drops)
    assert sum(window.nbytes for window in windows) == source.checkpoint.weight_bytes - dropped


def test_windows_do_not_depend_on_the_variants(workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/sharded")
    one, other = (planned(source, *names) for names in (("fp32",), ("4bit", "bf16", "nvfp4")))
    tensors = source.checkpoint.tensors
    assert windows_of(one, tensors, 50_000) == windows_of(other, tensors, 50_000)


def test_fewer_bytes_of_shards_are_needed_at_once_than_there_are(workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/sharded")
    windows = windows_of(planned(source, "4bit"), source.checkpoint.tensors, 50_000)
    sizes = {file.path: file.size for file in source.checkpoint.files}
    total = sum(sizes[shard] for shard in source.checkpoint.shards)
    assert 0 < peak_shard_bytes(windows, sizes) <= total
    assert peak_shard_bytes(windows, dict.fromkeys(sizes, 1)) <= len(source.checkpoint.shards)
