"""Whole checkpoints that exist only as pytorch_model.bin: looked at, converted, rewritten, published."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hubbot.folders import Folder
from hubbot.lifecycle import Stage, State
from hubbot.pickles import door
from hubbot.steps.inspect import inspect
from tests.checkpoints_on_disk import read_folder
from tests.cli.conftest import Shell, exhibits, fox, hubbot, machine, session_site, site
from tests.hub.embedded import LFS_WARNING, ORG, Site
from tests.relaid import same
from tests.story.bots import bot, in_process, on_the_hub, run_job, settings

__all__ = ["exhibits", "fox", "hubbot", "machine", "session_site", "site"]
pytestmark = pytest.mark.filterwarnings(LFS_WARNING)
needs_torch = pytest.mark.skipif(not door.is_available(), reason="torch is not installed")
VERDICT = ("verdict", "layout", "num_experts", "moe_layers", "parameters")


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "is_available", lambda: False)


def named_only(folder: Path) -> Path:
    """The folder with its weights under a pickled name: enough where nobody reads them."""
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    return folder


def pickled(source: Path, folder: Path, *, files: int = 1) -> Path:
    """The same checkpoint as torch would have saved it."""
    torch: Any = pytest.importorskip("torch")
    kinds = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.index.json"))
    tensors = {
        name: torch.from_numpy(bits.copy()).view(kinds[dtype])
        for name, (dtype, bits) in read_folder(source).items()
    }
    if files == 1:
        torch.save(tensors, folder / "pytorch_model.bin")
        return folder
    names = [f"pytorch_model-{number:05d}-of-{files:05d}.bin" for number in range(1, files + 1)]
    groups = {name: sorted(tensors)[number::files] for number, name in enumerate(names)}
    for name, group in groups.items():
        torch.save({key: tensors[key] for key in group}, folder / name)
    weight_map = {key: name for name, group in groups.items() for key in group}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


@pytest.mark.usefixtures("without_torch")
def test_without_torch_the_verdict_is_honest_and_names_the_extra(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    named_only(fox)
    looked = hubbot("inspect", str(fox), "--json")
    assert (looked.code, looked.json["verdict"]) == (0, "unknown-packing")
    assert "pip install 'hubbot[torch]'" in looked.json["hint"]
    for command in (["convert", "-v", "bf16"], ["relayout", "--to", "fused"]):
        ended = hubbot(command[0], str(fox), *command[1:], "--out", str(tmp_path / "out"), "--json")
        assert (ended.code, ended.json["error"]["kind"]) == (4, "UnknownPacking")
        assert "pytorch_model.bin" in ended.json["error"]["where"]
        assert "pip install 'hubbot[torch]'" in ended.json["error"]["hint"]
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_torch")
def test_without_torch_a_job_parks_with_the_install_hint(
    site: Site, fox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process(monkeypatch)
    site.embedded.seed("fables/Pickled", named_only(fox))
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        job = run_job(opened, "fables/Pickled")
    assert (job.state, job.stage) == (State.PARKED, Stage.INSPECT)
    assert job.error is not None
    assert "hubbot[torch]" in job.error["hint"]


@needs_torch
@pytest.mark.parametrize("files", [1, 3])
def test_the_verdict_is_that_of_the_same_safetensors(hubbot: Shell, fox: Path, tmp_path: Path, files: int) -> None:
    folder = pickled(fox, tmp_path / "pickled", files=files)
    one, other = (hubbot("inspect", str(path), "--json").json for path in (fox, folder))
    assert {key: one[key] for key in VERDICT} == {key: other[key] for key in VERDICT}
    assert one["evidence"][1:] == other["evidence"][1:]
    assert other["verdict"] == "convertible"


@needs_torch
def test_a_repo_of_pickles_is_looked_at_without_being_downloaded(
    hubbot: Shell, site: Site, fox: Path, tmp_path: Path
) -> None:
    site.embedded.seed("fables/Pickled", pickled(fox, tmp_path / "pickled", files=2))
    site.faults.clear()
    looked = hubbot("inspect", "fables/Pickled", "--json")
    assert looked.json["verdict"] == "convertible"
    # The index, and both ends of both files.
    assert site.faults.bytes_sent("GET", "pytorch_model") < 4 * (128 << 10) + 5000


@needs_torch
def test_what_is_converted_is_what_safetensors_would_have_given(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    folder = pickled(fox, tmp_path / "pickled", files=2)
    before = sorted(path.name for path in folder.iterdir())
    for source, out in ((fox, "one"), (folder, "other")):
        ended = hubbot("convert", str(source), "--out", str(tmp_path / out), "-v", "4bit", "--verify", "--json")
        assert (ended.code, ended.json.get("verified")) == (0, {"4bit": "approved"})
    assert same(read_folder(tmp_path / "one" / "4bit"), read_folder(tmp_path / "other" / "4bit"))
    assert sorted(path.name for path in folder.iterdir()) == before
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["4bit"]


@needs_torch
def test_a_dry_run_writes_nothing(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    folder = pickled(fox, tmp_path / "pickled")
    ended = hubbot("convert", str(folder), "--out", str(tmp_path / "out"), "-v", "4bit", "--dry-run", "--json")
    assert ended.code == 0
    assert not (tmp_path / "out").exists()


@needs_torch
def test_pickled_experts_can_be_rewritten_in_another_form(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    folder = pickled(fox, tmp_path / "pickled", files=2)
    for source, out in ((fox, "one"), (folder, "other")):
        ended = hubbot("relayout", str(source), "--to", "per-expert", "--out", str(tmp_path / out), "--json")
        assert ended.code == 0
    assert same(read_folder(tmp_path / "one"), read_folder(tmp_path / "other"))
    assert not list(tmp_path.glob(".other*"))


@needs_torch
def test_the_bot_publishes_a_repo_of_pickles(
    site: Site, fox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = in_process(monkeypatch)
    site.embedded.seed("fables/Pickled", pickled(fox, tmp_path / "pickled", files=2))
    with bot(site.client(), settings(tmp_path / "data")) as opened:
        job = run_job(opened, "fables/Pickled")
    assert job.state is State.PUBLISHED, job.error
    assert "stage" in stages.ran
    assert on_the_hub(site)[f"{ORG}/Pickled-MLX-4bit"] is False


@needs_torch
def test_an_index_that_lies_is_corrupt(fox: Path, tmp_path: Path) -> None:
    from hubbot.errors import CorruptHeader  # noqa: PLC0415

    folder = pickled(fox, tmp_path / "pickled", files=2)
    index = json.loads((folder / "pytorch_model.bin.index.json").read_text())
    name = next(iter(index["weight_map"]))
    index["weight_map"]["ghost"] = index["weight_map"].pop(name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(CorruptHeader, match="ghost") as caught:
        inspect(Folder(folder))
    assert caught.value.where == "pytorch_model.bin.index.json"
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(CorruptHeader, match="not in the repo"):
        inspect(Folder(folder))
