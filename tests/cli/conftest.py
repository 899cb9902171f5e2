"""The command line in this process, over an embedded Hub and a data folder of its own."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hubbot.cli import output
from hubbot.cli.main import main
from hubbot.devhub.demo_repos import DemoRepo, write_demo_repos
from hubbot.hub import client
from tests.hub.embedded import ORG, OWNER, Site, calm, impatient, running

FOX = "fables/Fox-8x-MoE-fused"
RULES = """
[[watch]]
name = "fables"
authors = ["fables"]
deny = ["*/Owl-*"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Types `hubbot ...` and hands back what came of it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ended:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        said = self._capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Ended(code=caught.value.code, out=said.out, err=said.err)


@pytest.fixture(scope="session")
def exhibits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DemoRepo]]:
    folder = tmp_path_factory.mktemp("exhibits")
    yield {exhibit.repo_id.partition("/")[2]: exhibit for exhibit in write_demo_repos(folder)}
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def session_site(tmp_path_factory: pytest.TempPathFactory, exhibits: dict[str, DemoRepo]) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("hub")) as site:
        for exhibit in exhibits.values():
            site.embedded.seed(exhibit.repo_id, exhibit.folder)
        yield site


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without settings, token or Hub; returns its data folder."""
    calm(monkeypatch, tmp_path)
    nowhere = client.Hub(endpoint="http://127.0.0.1:9", patience=impatient())
    monkeypatch.setattr(client, "default_hub", lambda *_: nowhere)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    for console in (output.data.console, output.talk.console):
        monkeypatch.setattr(console, "_width", 200)
    monkeypatch.setenv("HUBBOT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("HUBBOT_CONFIG", raising=False)
    return tmp_path / "data"


@pytest.fixture
def site(session_site: Site, machine: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # What HF_ENDPOINT would do, had it been set before the client was imported.
    monkeypatch.setattr(client, "default_hub", lambda *_: session_site.client(None))
    monkeypatch.setenv("HF_TOKEN", OWNER)
    before = session_site.repos
    yield session_site
    session_site.keep_only(before)
    session_site.faults.clear()


@pytest.fixture
def hubbot(machine: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture
def fox(exhibits: dict[str, DemoRepo], tmp_path: Path) -> Path:
    folder = tmp_path / "fox"
    shutil.copytree(exhibits["Fox-8x-MoE-fused"].folder, folder)
    return folder


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory, exhibits: dict[str, DemoRepo]) -> Path:
    """A folder with source/ and out/4bit/, made by the command itself, once."""
    from tests.checkpoints_on_disk import converted as convert  # noqa: PLC0415
    from tests.checkpoints_on_disk import look  # noqa: PLC0415

    root = tmp_path_factory.mktemp("converted")
    source = root / "source"
    shutil.copytree(exhibits["Fox-8x-MoE-fused"].folder, source)
    convert(look(source), root / "out", "4bit")
    return root


@pytest.fixture
def rules(machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "hubbot.toml"
    file.write_text(f'org = "{ORG}"\nvariants = ["4bit"]\n{RULES}')
    monkeypatch.setenv("HUBBOT_CONFIG", str(file))
    return file


@pytest.fixture
def job_id(hubbot: Shell, site: Site) -> str:
    return str(hubbot("enqueue", FOX, "--variant", "4bit", "--json").json["id"])
