"""A source that is freed: which stage runs when, and when each shard goes. tests/story has the whole."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubbot.conversion import stages
from hubbot.conversion.conversion import Conversion
from hubbot.conversion.shard_by_shard import ShardByShard
from hubbot.conversion.workspace import judged_name
from hubbot.errors import OutOfRoom
from hubbot.lifecycle import Stage
from hubbot.windows import windows_of
from tests.conversion.conversions import conversion_of
from tests.hub.embedded import Site
from tests.reference.checkpoints import case, write
from tests.shards_on_disk import in_shards

SHARD_GIGABYTES = 2e-5


@pytest.fixture
def planned(site: Site, tmp_path: Path) -> Conversion:
    folder = write(case("qwen3_moe/hub"), tmp_path / "source")
    in_shards(folder, 4)
    repo = site.seed({path.name: path.read_bytes() for path in folder.iterdir()}, tmp_path / "seed")
    conversion = conversion_of(
        site.client(),
        tmp_path / "work",
        files=site.client().open(repo, None),
        variants=("bf16",),
        strategy=lambda _checkpoint: ShardByShard(judged=True),
        shard_gigabytes=SHARD_GIGABYTES,
    )
    stages.run(conversion, list(Stage)[:4])
    return conversion


def shards(conversion: Conversion) -> set[str]:
    return {path.name for path in conversion.workspace.source.glob("*.safetensors")}


def test_before_the_conversion_no_weight_is_here(planned: Conversion) -> None:
    assert shards(planned) == set()
    assert (planned.workspace.source / "config.json").is_file()


def test_each_window_is_converted_and_judged_before_a_shard_goes(planned: Conversion) -> None:
    windows = windows_of(planned.workspace.plan(), planned.workspace.checkpoint().tensors, 20_000)
    assert len(windows) > 2
    seen: list[tuple[str, int | None, set[str]]] = []

    def watched(stage: str, request: Mapping[str, Any], progress: Any) -> dict[str, Any]:
        seen.append((stage, request.get("window"), shards(planned)))
        return planned.call(stage, request, progress)

    stages.convert(replace(planned, call=watched))
    order = [(stage, number) for stage, number, _ in seen]
    expected: list[tuple[str, int | None]] = [("open_windows", None)]
    for window in windows:
        expected += [("convert_window", window.number), ("judge_window", window.number)]
    assert order == [*expected, ("finish_windows", None)]
    for _, number, here in seen:
        if number is not None:
            assert set(windows[number].shards) <= here
    assert shards(planned) == set()
    stages.verify(planned)
    assert planned.workspace.report("bf16").gates["values"] == "pass"


def test_a_window_whose_findings_are_lost_is_made_and_judged_again(planned: Conversion) -> None:
    asked: list[tuple[str, int | None]] = []

    def dies_at_the_end(stage: str, request: Mapping[str, Any], progress: Any) -> dict[str, Any]:
        asked.append((stage, request.get("window")))
        if stage == "finish_windows":
            raise KeyboardInterrupt
        return planned.call(stage, request, progress)

    dying = replace(planned, call=dies_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        stages.convert(dying)
    (planned.workspace.root / f"{judged_name('bf16', 1)}.json").unlink()
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        stages.convert(dying)
    assert [entry for entry in asked if entry[1] is not None] == [("convert_window", 1), ("judge_window", 1)]


def test_what_does_not_fit_is_refused_with_the_numbers(
    planned: Conversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage)
    with pytest.raises(OutOfRoom, match="of shards at once"):
        stages.convert(planned)
    checkpoint, plan = planned.workspace.checkpoint(), planned.workspace.plan()
    peak = ShardByShard(judged=True).peak_disk_bytes(planned, checkpoint, plan)
    assert plan.disk_bytes < peak < plan.disk_bytes + checkpoint.weight_bytes
