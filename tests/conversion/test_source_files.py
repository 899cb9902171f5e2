"""One way to bring a source: a folder is read in place, a repo is fetched, pickled weights are staged."""

from dataclasses import replace
from pathlib import Path

import pytest

from hubbot.checkpoints import Checkpoint
from hubbot.conversion.conversion import Conversion, reading_in_place
from hubbot.conversion.source_files import bring_source, still_staged
from hubbot.errors import OutOfRoom
from hubbot.folders import Folder
from hubbot.steps.inspect import inspect
from tests.conversion import pickled
from tests.conversion.conversions import conversion_of
from tests.hub.embedded import Site
from tests.reference.checkpoints import case, files, write


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def pickled_source(folder: Path) -> Checkpoint:
    safetensors = inspect(Folder(write(case("qwen3_moe/hub"), folder.parent / "safetensors")))
    return pickled.as_pickled(safetensors, pickled.pickled_folder(folder))


def saved(conversion: Conversion, checkpoint: Checkpoint) -> Conversion:
    conversion.workspace.save("checkpoint", checkpoint.to_json())
    return conversion


def test_a_folder_of_safetensors_is_read_where_it_is(tmp_path: Path) -> None:
    source = write(case("qwen3_moe/hub"), tmp_path / "source")
    checkpoint = inspect(Folder(source))
    conversion = reading_in_place(conversion_of(source, tmp_path / "work"), checkpoint)
    assert conversion.workspace.source == source
    assert bring_source(conversion, checkpoint, room_for=1 << 60) == checkpoint
    assert not (tmp_path / "work").exists()


def test_a_folders_pickles_are_staged_elsewhere_and_left_as_they_are(tmp_path: Path) -> None:
    source = tmp_path / "source"
    checkpoint = pickled_source(source)
    before = {path: path.read_bytes() for path in source.iterdir()}
    conversion = conversion_of(source, tmp_path / "work", stages={"stage": pickled.stage})
    conversion = saved(reading_in_place(conversion, checkpoint), checkpoint)
    staged = bring_source(conversion, checkpoint, room_for=0)
    assert staged.shards == (pickled.WEIGHTS,)
    assert names(conversion.workspace.source) == {"config.json", "tokenizer.json", pickled.WEIGHTS}
    assert {path: path.read_bytes() for path in source.iterdir()} == before


def test_a_repo_of_pickles_is_fetched_staged_and_its_pickles_removed(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "source"
    checkpoint = pickled_source(source)
    repo = site.seed({path.name: path.read_bytes() for path in source.iterdir()}, tmp_path / "seed")
    remote = site.client().open(repo, None)
    checkpoint = replace(checkpoint, repo=remote.repo, files=remote.files)
    asked: list[str] = []
    conversion = conversion_of(site.client(), tmp_path / "work", asked=asked, stages={"stage": pickled.stage})
    conversion = saved(conversion, checkpoint)
    staged = bring_source(conversion, checkpoint, room_for=0)
    assert names(conversion.workspace.source) == {"config.json", "tokenizer.json", pickled.WEIGHTS}
    assert still_staged(conversion.workspace, checkpoint) == staged
    # Interrupted afterwards it goes on from what was staged, and asks the Hub for no weight again.
    site.faults.clear()
    bring_source(conversion, still_staged(conversion.workspace, checkpoint), room_for=0)
    assert asked == ["stage"]
    assert site.faults.count("*", r"/resolve/.*\.bin") == 0


def test_what_was_staged_counts_only_whole_and_for_the_same_commit(tmp_path: Path) -> None:
    source = tmp_path / "source"
    checkpoint = pickled_source(source)
    conversion = conversion_of(source, tmp_path / "work", stages={"stage": pickled.stage})
    assert still_staged(conversion.workspace, checkpoint) == checkpoint
    bring_source(saved(conversion, checkpoint), checkpoint, room_for=0)
    newer = replace(checkpoint, repo=replace(checkpoint.repo, revision="f" * 40))
    assert still_staged(conversion.workspace, newer) == newer
    (conversion.workspace.source / pickled.WEIGHTS).unlink()
    assert still_staged(conversion.workspace, checkpoint) == checkpoint


def test_a_repo_that_does_not_fit_with_what_is_made_of_it_is_not_begun(site: Site, tmp_path: Path) -> None:
    repo = site.seed(files(case("qwen3_moe/hub")), tmp_path / "seed")
    checkpoint = inspect(site.client().open(repo, None))
    site.faults.clear()
    conversion = conversion_of(site.client(), tmp_path / "work")
    with pytest.raises(OutOfRoom):
        bring_source(conversion, checkpoint, room_for=1 << 60)
    assert site.faults.count() == 0
