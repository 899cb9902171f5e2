"""A source that is released while it is converted: the same repos, every shard judged before it goes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hubbot.lifecycle import State
from tests.hub.embedded import LFS_WARNING, ORG, Site
from tests.shards_on_disk import in_shards
from tests.story.bots import Stages, bot, on_the_hub, run_job, settings, work_folder

pytestmark = pytest.mark.filterwarnings(LFS_WARNING)
WINDOW = 2e-4  # gigabytes


@pytest.fixture
def sharded(site: Site, fox: Path) -> Site:
    in_shards(fox, 5)
    site.embedded.seed("fables/Fox", fox)
    return site


def published(site: Site, variant: str, folder: Path) -> dict[str, bytes]:
    target = folder / variant
    api = site.api()
    for name in api.list_repo_files(f"{ORG}/Fox-MLX-{variant}"):
        api.hf_hub_download(f"{ORG}/Fox-MLX-{variant}", name, local_dir=target)
    return {p.name: p.read_bytes() for p in target.iterdir() if p.suffix in {".safetensors", ".json"}}


def run(site: Site, data: Path, **fields: Any) -> dict[str, dict[str, bytes]]:
    with bot(site.client(), settings(data, variants=("bf16", "4bit"), shard_gigabytes=WINDOW, **fields)) as opened:
        job = run_job(opened, "fables/Fox")
        assert job.state is State.PUBLISHED, job.error
    return {name: published(site, name, data / "seen") for name in ("bf16", "4bit")}


def test_released_or_not_the_published_weights_are_the_same(sharded: Site, tmp_path: Path, stages: Stages) -> None:
    freed = run(sharded, tmp_path / "freed", free_source=True)
    assert stages.ran.count("convert_window") == stages.ran.count("judge_window") > 3
    assert "convert" not in stages.ran
    for name in list(on_the_hub(sharded)):
        sharded.api().delete_repo(name)
    kept = run(sharded, tmp_path / "kept")
    for variant, files in kept.items():
        weights = {name for name in files if name.endswith(".safetensors")} | {"hubbot.json", "config.json"}
        assert len(weights) > 4
        assert all(files[name] == freed[variant][name] for name in weights)


def test_no_more_shards_are_here_at_once_than_a_window_needs(
    sharded: Site, tmp_path: Path, stages: Stages
) -> None:
    seen = []

    def count(root: Path) -> None:
        seen.append(len(list((root / "source").glob("model-*.safetensors"))))

    stages.before["convert_window"] = count
    stages.before["finish_windows"] = count
    run(sharded, tmp_path / "data", free_source=True)
    assert seen[-1] == 0
    assert max(seen) < 5


def test_a_shard_is_here_until_the_findings_on_all_that_was_made_from_it_are_on_disk(
    sharded: Site, tmp_path: Path, stages: Stages
) -> None:
    def check(root: Path) -> None:
        judged = len(list(root.glob("judged-4bit-*.json")))
        assert stages.ran.count("convert_window") == judged + 1
        assert list((root / "source").glob("model-*.safetensors"))

    stages.before["judge_window"] = check
    run(sharded, tmp_path / "data", free_source=True)
    assert stages.ran.count("judge_window") > 3


def test_a_job_that_was_killed_between_windows_goes_on_without_the_shards_that_are_gone(
    sharded: Site, tmp_path: Path, stages: Stages
) -> None:
    left: list[int] = [3]

    def die(_root: Path) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise SystemExit(9)

    stages.before["judge_window"] = die
    chosen = settings(tmp_path / "data", variants=("4bit",), shard_gigabytes=WINDOW, free_source=True)
    with bot(sharded.client(), chosen) as opened, pytest.raises(SystemExit):
        run_job(opened, "fables/Fox")
    before = stages.ran.count("convert_window")
    stages.before.clear()
    with bot(sharded.client(), chosen) as opened:
        job = run_job(opened, "fables/Fox")
        assert job.state is State.PUBLISHED, job.error
    windows = stages.ran.count("judge_window")
    assert stages.ran.count("convert_window") < 2 * windows
    assert before == 3


def test_damage_after_the_source_is_gone_is_refused(sharded: Site, tmp_path: Path, stages: Stages) -> None:
    def damage(root: Path) -> None:
        path = next((root / "out" / "4bit").glob("model-00002-*.safetensors"))
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(bytes(data))

    stages.before["verify"] = damage
    chosen = settings(tmp_path / "data", shard_gigabytes=WINDOW, free_source=True)
    with bot(sharded.client(), chosen) as opened:
        job = run_job(opened, "fables/Fox")
        report = json.loads((work_folder(chosen, job) / "report-4bit.json").read_text())
    assert job.state is State.FAILED
    failed = {finding["check"] for finding in report["findings"] if finding["status"] == "fail"}
    assert {"file hashes", "judged bytes"} <= failed
    assert on_the_hub(sharded) == {}
    shutil.rmtree(work_folder(chosen, job), ignore_errors=True)
