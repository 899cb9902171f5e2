"""A conversion into a folder of one's own: refused without a trace, resumed, cleared away when it is done."""

from dataclasses import replace
from pathlib import Path

import pytest

from hubbot.conversion import in_folder
from hubbot.conversion.conversion import Conversion
from hubbot.conversion.shard_by_shard import ShardByShard
from hubbot.errors import NeedsHuman, ValueMismatch, WrongUsage
from hubbot.folders import Folder
from hubbot.steps.inspect import inspect
from tests.conversion import pickled
from tests.conversion.conversions import conversion_of
from tests.hub.embedded import Site
from tests.reference.checkpoints import case, files, write


def planned(conversion: Conversion) -> Conversion:
    in_folder.plan(conversion)
    return conversion


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(case("qwen3_moe/hub"), tmp_path / "source")


@pytest.fixture
def conversion(source: Path, tmp_path: Path) -> Conversion:
    return planned(
        conversion_of(source, tmp_path / "planning", variants=("8bit",), strategy=in_folder.whole_source)
    )


def test_only_the_variants_are_left(conversion: Conversion, tmp_path: Path) -> None:
    finished = in_folder.convert(conversion, tmp_path / "out", verified=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["8bit"]
    (artifact,) = finished.artifacts
    (report,) = finished.reports
    assert artifact.path == report.artifact.path == str(tmp_path / "out" / "8bit")
    assert report.verdict == "approved"


def test_a_conversion_of_a_folder_that_fails_leaves_nothing(
    conversion: Conversion, source: Path, tmp_path: Path
) -> None:
    for path in source.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-8] + b"\xff" * 8)
    with pytest.raises(ValueMismatch):
        in_folder.convert(conversion, tmp_path / "out", verified=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_foreign_folder_in_the_way_is_refused_before_a_byte_is_fetched(site: Site, tmp_path: Path) -> None:
    repo = site.seed(files(case("qwen3_moe/hub")), tmp_path / "seed")
    conversion = planned(
        conversion_of(
            site.client(),
            tmp_path / "planning",
            files=site.client().open(repo, None),
            variants=("8bit",),
            strategy=in_folder.whole_source,
        )
    )
    (tmp_path / "out" / "8bit").mkdir(parents=True)
    site.faults.clear()
    with pytest.raises(WrongUsage, match="does not mark the same source"):
        in_folder.convert(conversion, tmp_path / "out", verified=False)
    assert site.faults.count() == 0


def test_an_interrupted_download_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    repo = site.seed(files(case("qwen3_moe/hub")), tmp_path / "seed")
    conversion = planned(
        conversion_of(
            site.client(),
            tmp_path / "planning",
            files=site.client().open(repo, None),
            variants=("8bit",),
            strategy=in_folder.whole_source,
        )
    )
    call = conversion.call

    def interrupted(*_: object) -> dict[str, object]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_folder.convert(replace(conversion, call=interrupted), tmp_path / "out", verified=False)
    assert list((tmp_path / "out" / in_folder.WORK / "source").glob("*.safetensors"))
    site.faults.clear()
    in_folder.convert(replace(conversion, call=call), tmp_path / "out", verified=False)
    assert site.faults.count("GET", r"/resolve/.*\.safetensors") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["8bit"]


def test_only_what_hubbot_downloads_as_safetensors_is_freed(site: Site, source: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="never those of a folder"):
        in_folder.free_source(source, judged=True)
    choose = in_folder.free_source(site.client(), judged=True)
    checkpoint = inspect(Folder(source))
    assert choose(checkpoint) == ShardByShard(judged=True)
    with pytest.raises(NeedsHuman, match="needs safetensors"):
        choose(pickled.as_pickled(checkpoint, pickled.pickled_folder(tmp_path / "pickled")))
