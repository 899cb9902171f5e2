"""What is brought to this machine: what a conversion needs, once, and only where it fits."""

import json
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubbot.checkpoints import Checkpoint
from hubbot.errors import HubUnavailable, OutOfRoom
from hubbot.steps.fetch import fetch, wanted
from hubbot.steps.inspect import inspect
from tests.hub.embedded import Site, calm, running
from tests.reference.checkpoints import case, files

SOURCE = files(case("qwen3_moe/hub"))
NEEDED = {
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "generation_config.json": b"{}",
    "LICENSE": b"words",
    "chat_template.jinja": b"{{ messages }}",
}
NEVER = {
    "modeling_evil.py": b"import os",
    "tokenization_evil.py": b"import os",
    "pytorch_model.bin": b"pickle" * 100,
    "training_args.bin": b"pickle",
    "model.gguf": b"gguf" * 100,
    "original/consolidated.safetensors": b"twice the bytes",
    "onnx/model.onnx": b"onnx",
    "README.md": b"---\nlicense: mit\n---\n",
    ".gitattributes": b"",
}
Usage = namedtuple("Usage", ["total", "used", "free"])  # noqa: PYI024 - the shape of shutil's own


def fetch_all(site: Site, checkpoint: Checkpoint, folder: Path, *, room_for: int = 0) -> None:
    fetch(
        checkpoint,
        site.client(),
        folder,
        files=wanted(checkpoint),
        room_for=room_for,
        progress=lambda _done, _total, _label: None,
    )


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("hub")) as site:
        yield site


@pytest.fixture
def site(hub: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    calm(monkeypatch, tmp_path)
    yield hub
    hub.faults.clear()


@pytest.fixture
def checkpoint(site: Site, tmp_path: Path) -> Checkpoint:
    repo = site.seed({**SOURCE, **NEEDED, **NEVER}, tmp_path / "seed")
    found = inspect(site.client().open(repo, None))
    site.faults.clear()
    return found


def on_disk(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
    return {name: data for name, data in names.items() if not name.startswith(".cache/")}


def test_only_what_a_conversion_reads_or_copies_is_fetched(
    site: Site, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    fetch_all(site, checkpoint, tmp_path / "to")
    expected = {**SOURCE, **NEEDED}
    expected.pop("model.safetensors.index.json", None)
    assert on_disk(tmp_path / "to") == expected


def test_code_and_other_formats_are_never_asked_for(site: Site, checkpoint: Checkpoint, tmp_path: Path) -> None:
    fetch_all(site, checkpoint, tmp_path / "to")
    assert site.faults.count("*", r"\.py$|\.bin$|\.gguf$|\.onnx$|original/") == 0
    assert not {file.path for file in wanted(checkpoint)} & set(NEVER)


def test_what_does_not_fit_is_refused_before_the_first_byte(
    site: Site, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sum(file.size for file in wanted(checkpoint)) + 1000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, needed - 1))
    with pytest.raises(OutOfRoom, match=r"needs .* more on the disk") as caught:
        fetch_all(site, checkpoint, tmp_path / "to", room_for=1000)
    assert site.faults.count() == 0
    assert caught.value.where == str(tmp_path / "to")
    assert caught.value.exit_code == 5
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, needed))
    fetch_all(site, checkpoint, tmp_path / "to", room_for=1000)


def test_what_is_here_already_needs_no_room_again(
    site: Site, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_all(site, checkpoint, tmp_path / "to")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, 500))
    fetch_all(site, checkpoint, tmp_path / "to", room_for=500)
    with pytest.raises(OutOfRoom):
        fetch_all(site, checkpoint, tmp_path / "to", room_for=501)


def test_a_network_that_breaks_costs_only_the_file_in_flight(
    site: Site, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    weights = checkpoint.shards[0]
    site.faults.cut("GET", "/xet/blocks/", after=2000, times=999)
    with pytest.raises(HubUnavailable):
        fetch_all(site, checkpoint, tmp_path / "to")
    assert not (tmp_path / "to" / weights).exists()
    site.faults.clear()
    fetch_all(site, checkpoint, tmp_path / "to")
    assert on_disk(tmp_path / "to")[weights] == SOURCE[weights]
    assert site.faults.count("GET", "/xet/blocks/") > 0
    assert site.faults.bytes_sent("GET", "/resolve/.*/config.json") == 0


def test_what_was_fetched_is_the_revision_that_was_inspected(
    site: Site, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    changed = {**SOURCE, "config.json": json.dumps({"model_type": "other"}).encode()}
    home = tmp_path / "newer"
    home.mkdir()
    for name, data in changed.items():
        (home / name).write_bytes(data)
    site.embedded.seed(checkpoint.repo.id, home)
    fetch_all(site, checkpoint, tmp_path / "to")
    assert (tmp_path / "to" / "config.json").read_bytes() == SOURCE["config.json"]
