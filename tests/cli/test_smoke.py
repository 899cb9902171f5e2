"""smoke: what an artifact says, and the refusal of one that does not speak."""

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.hub.embedded import ORG, Site


def test_an_artifact_speaks(hubbot: Shell, converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBOT_SMOKE_TOKENS", "24")
    ended = hubbot("smoke", str(converted / "out" / "4bit"), "--json")
    assert ended.code == 0
    promised = {"samples", "warnings", "peak_memory_bytes", "upcast_to_float32", "device"}
    assert set(ended.json) == promised | {"kind", "seed", "utilisation", "picture", "seconds"}
    for sample in ended.json["samples"]:
        assert 0 < sample["tokens"] <= 24
        assert len(sample["text"].split()) > 3


def test_an_artifact_on_the_hub_is_fetched_and_refused_where_it_does_not_speak(
    hubbot: Shell, site: Site, converted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mute"
    shutil.copytree(converted / "out" / "4bit", folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    site.embedded.seed(f"{ORG}/mute", folder)
    ended = hubbot("smoke", f"{ORG}/mute", "--json")
    assert ended.code == 1
    assert set(ended.json) == {"error"}
