import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubbot.devhub.demo_repos import DemoRepo, write_demo_repos
from tests.hub.embedded import Site, calm, running
from tests.story.bots import Stages, in_process


@pytest.fixture(scope="session")
def exhibits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DemoRepo]]:
    folder = tmp_path_factory.mktemp("exhibits")
    yield {exhibit.repo_id.partition("/")[2]: exhibit for exhibit in write_demo_repos(folder)}
    shutil.rmtree(folder)


@pytest.fixture
def fox(exhibits: dict[str, DemoRepo], tmp_path: Path) -> Path:
    """A folder of one's own with a small Qwen3-MoE that converts."""
    folder = tmp_path / "fox"
    shutil.copytree(exhibits["Fox-8x-MoE-fused"].folder, folder)
    return folder


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    calm(monkeypatch, tmp_path)
    with running(tmp_path / "hub") as started:
        yield started


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    return in_process(monkeypatch)
