"""The folder of a conversion: whose it is, what lies in it, and that it is whole or absent."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubbot.errors import CorruptHeader, NeedsHuman, OutOfRoom, WrongUsage
from hubbot.steps import convert as step
from tests.checkpoints_on_disk import (
    Workshop,
    contents,
    converted,
    decoded,
    edit_json,
    look,
    planned,
    read_stored,
    source_of,
    stock_model,
)
from tests.reference.checkpoints import case, write


def test_a_foreign_folder_in_the_way_is_wrong_usage_and_untouched(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "4bit").mkdir()
    (tmp_path / "4bit" / "thesis.txt").write_text("years of work")
    with pytest.raises(WrongUsage, match="does not mark the same source"):
        converted(workshop.source("qwen3_moe/hub"), tmp_path, "bf16", "4bit")
    assert contents(tmp_path / "4bit") == {"thesis.txt": b"years of work"}
    assert [path.name for path in tmp_path.iterdir()] == ["4bit"]


def test_hubbots_own_folder_of_another_variant_is_not_replaced(workshop: Workshop, tmp_path: Path) -> None:
    shutil.copytree(workshop.artifact("qwen3_moe/hub", "bf16"), tmp_path / "4bit")
    with pytest.raises(WrongUsage):
        converted(workshop.source("qwen3_moe/hub"), tmp_path, "4bit")


def test_hubbots_own_folder_of_the_same_source_is_replaced_whole(workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source("qwen3_moe/hub")
    (made,) = converted(source, tmp_path, "4bit").values()
    before = contents(made)
    (made / "stale.txt").write_text("old")
    converted(source, tmp_path, "4bit")
    assert contents(made) == before


def test_the_conversion_of_another_model_in_a_folder_of_the_same_name_is_not_replaced(tmp_path: Path) -> None:
    one, other = (source_of(name, tmp_path / name) for name in ("qwen3_moe/hub", "mixtral/hub"))
    converted(one, tmp_path / "out", "bf16")
    with pytest.raises(WrongUsage):
        converted(other, tmp_path / "out", "bf16")


def test_a_mark_of_another_shape_is_foreign(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "4bit").mkdir()
    (tmp_path / "4bit" / "hubbot.json").write_text('{"made_by": "hubbot", "variant": "4bit", "source": "me"}')
    with pytest.raises(WrongUsage):
        converted(workshop.source("qwen3_moe/hub"), tmp_path, "4bit")


def test_a_truncated_shard_is_corrupt_and_nothing_is_left(tmp_path: Path) -> None:
    source = source_of("qwen3_moe/hub", tmp_path)
    path = source.folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CorruptHeader, match="bytes early"):
        converted(source, tmp_path / "out", "bf16")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_written(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutOfRoom, match=r"1.00 kB are free"):
        converted(workshop.source("qwen3_moe/hub"), tmp_path / "out", "bf16")
    assert not (tmp_path / "out" / "bf16").exists()


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    calls = iter(range(12))

    def full(*arguments: Any) -> int:
        if next(calls, None) is None:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OutOfRoom, match="disk is full"):
        converted(workshop.source("qwen3_moe/hub"), tmp_path, "bf16", "4bit", working_bytes=4096)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variant", ["bf16", "moe-4bit"])
def test_shards_are_bounded_indexed_and_load_as_one(variant: str, workshop: Workshop, tmp_path: Path) -> None:
    made = converted(workshop.source("qwen3_moe/hub"), tmp_path, variant, shard_bytes=100_000)[variant]
    shards = sorted(made.glob("model*.safetensors"))
    assert len(shards) > 3
    index = json.loads((made / "model.safetensors.index.json").read_text())["weight_map"]
    assert {name: shard.name for shard in shards for name in read_stored(shard)} == index
    for shard in shards:
        stored = read_stored(shard)
        assert sum(bits.nbytes for _, bits in stored.values()) <= 100_000 or len(stored) == 1
    prompt, _ = decoded(stock_model(made), case("qwen3_moe/hub"))
    whole, _ = decoded(stock_model(workshop.artifact("qwen3_moe/hub", variant)), case("qwen3_moe/hub"))
    assert np.array_equal(prompt, whole)


def test_the_mark_lists_every_file_and_knows_neither_dates_nor_paths(workshop: Workshop) -> None:
    folder = workshop.artifact("qwen3_moe/hub", "4bit")
    mark = json.loads((folder / "hubbot.json").read_text())
    assert {file["path"] for file in mark["files"]} == {path.name for path in folder.iterdir()} - {"hubbot.json"}
    text = json.dumps(mark)
    assert str(folder.parent.parent) not in text
    assert mark["source"]["repo"] == "source"
    words = " ".join(mark).lower()
    assert not any(word in words for word in ("date", "time", "created", "seconds", "host", "user", "path"))
    assert mark["verified"] is False


def test_side_files_are_copied_byte_for_byte_and_nothing_that_can_run_is(tmp_path: Path) -> None:
    write(case("qwen3_moe/hub"), tmp_path / "source")
    kept = {
        "tokenizer.json": b'{"x":  1}\r\n', "LICENSE": b"be kind", "NOTICE.txt": b"n", "USE_POLICY.md": b"p",
        "chat_template.jinja": b"{{ x }}", "generation_config.json": b"{}", "sub/LICENSE": b"x",
    }  # fmt: skip
    left = ("modeling_evil.py", "evil.pkl", "pytorch_model.bin", "README.md", "hubbot.json", "report.json", ".env")
    (tmp_path / "source" / "sub").mkdir()
    for name, data in {**kept, **dict.fromkeys(left, b"x")}.items():
        (tmp_path / "source" / name).write_bytes(data)
    (tmp_path / "source" / "sub" / "tokenizer.json").write_bytes(b"x")
    edit_json(tmp_path / "source" / "config.json", auto_map={"AutoModel": "modeling_evil.Evil"})
    made = converted(look(tmp_path / "source"), tmp_path / "out", "bf16")["bf16"]
    found = contents(made)
    own = {"config.json", "hubbot.json", "model.safetensors", "model.safetensors.index.json"}
    assert set(found) == {*kept, *own}
    assert {name: found[name] for name in kept} == kept
    assert "auto_map" not in json.loads(found["config.json"])


def test_a_tokenizer_that_exists_only_as_code_parks(tmp_path: Path) -> None:
    source = source_of("qwen3_moe/hub", tmp_path)
    (source.folder / "tokenization_odd.py").write_text("evil")
    with pytest.raises(NeedsHuman, match="tokenizer exists only as code"):
        converted(look(source.folder), tmp_path / "out", "bf16")
    assert not (tmp_path / "out" / "bf16").exists()


def test_a_tokenizer_config_does_not_take_foreign_code_along(tmp_path: Path) -> None:
    source = source_of("qwen3_moe/hub", tmp_path)
    (source.folder / "tokenizer.json").write_text("{}")
    (source.folder / "tokenizer_config.json").write_text(
        '{"auto_map": {"AutoTokenizer": ["evil--repo.Tok", null]}}'
    )
    made = converted(look(source.folder), tmp_path / "out", "bf16")["bf16"]
    assert "auto_map" not in (made / "tokenizer_config.json").read_text()


def test_a_link_out_of_the_source_is_not_copied(tmp_path: Path) -> None:
    source = source_of("qwen3_moe/square/hub", tmp_path)
    (tmp_path / "private").write_text("key")
    (source.folder / "LICENSE").symlink_to(tmp_path / "private")
    made = converted(look(source.folder), tmp_path / "out", "bf16")["bf16"]
    assert not (made / "LICENSE").exists()


def test_a_kill_between_two_files_is_resumed_to_the_same_bytes(workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source("qwen3_moe/hub")

    class Killed(BaseException):
        pass

    seen: list[int] = []

    def watch(done: int, total: int, _name: str) -> None:
        seen.append(done)
        if done > total // 2:
            raise Killed

    bounds = step.Bounds(working_bytes=1 << 14, shard_bytes=50_000)
    arguments = (source.checkpoint, planned(source, "bf16"))
    with pytest.raises(Killed):
        step.convert(*arguments, source=source.folder, out=tmp_path, bounds=bounds, progress=watch)
    assert not (tmp_path / "bf16").exists()
    seen.clear()
    step.convert(
        *arguments, source=source.folder, out=tmp_path, bounds=bounds,
        progress=lambda done, _total, _name: seen.append(done),
    )  # fmt: skip
    fresh = converted(source, tmp_path / "fresh", "bf16", working_bytes=1 << 14, shard_bytes=50_000)["bf16"]
    assert contents(tmp_path / "bf16") == contents(fresh)
    assert sum(np.diff([0, *seen])) < sum(tensor.nbytes for tensor in source.checkpoint.tensors.values())


def test_progress_ends_at_the_total(workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source("mixtral/v5")
    told: list[tuple[int, int]] = []
    step.convert(
        source.checkpoint, planned(source, "bf16"), source=source.folder, out=tmp_path,
        bounds=step.Bounds(working_bytes=1 << 15, shard_bytes=1 << 30),
        progress=lambda done, total, _name: told.append((done, total)),
    )  # fmt: skip
    assert told[-1][0] == told[-1][1] == source.checkpoint.weight_bytes
    assert [done for done, _ in told] == sorted(done for done, _ in told)
