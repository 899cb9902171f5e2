import json
import os
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from hubbot.catalogue.recipes import read_recipe
from hubbot.catalogue.variants import VARIANTS
from hubbot.errors import CorruptHeader, NeedsHuman, OutOfRoom, ValueMismatch, WrongUsage
from hubbot.marks import read_mark
from hubbot.steps import convert as step
from hubbot.steps.plan import plan
from tests.checkpoints_on_disk import (
    CONVERTIBLE,
    Source,
    Workshop,
    converted,
    decoded,
    edit_json,
    floats,
    from_mlx,
    look,
    planned,
    read_folder,
    read_stored,
    relative,
    safetensors,
    stock_model,
    to_mlx,
)
from tests.checks.stock import stock_convert, stock_source
from tests.reference.checkpoints import Case, case, tensors, write


def source_of(made: str, folder: Path) -> Source:
    return look(write(case(made), folder / "source"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def damaged(name: str, folder: Path, tensor: str, value: float) -> Source:
    """A reference with one element of one tensor replaced."""
    write(case(name), folder / "source")
    path = folder / "source" / "model.safetensors"
    stored = read_stored(path)
    bits = stored[tensor][1]
    bits.flat[-1] = np.float32(value).view(np.uint32) >> (32 - 8 * bits.itemsize)
    path.write_bytes(safetensors(stored))
    return look(folder / "source")


@pytest.mark.parametrize("made", CONVERTIBLE, ids=lambda made: made.name)
def test_stock_mlx_lm_answers_as_transformers_did_also_token_by_token(made: Case, workshop: Workshop) -> None:
    model = stock_model(workshop.artifact(made.name, "fp32"))
    prompt, steps = decoded(model, made)
    assert relative(prompt, made.logits) < made.tolerance
    if made.decode_logits is not None:
        assert steps is not None
        assert relative(steps, made.decode_logits) < made.tolerance


@pytest.mark.parametrize("name", ["qwen3_moe/hub", "qwen3_moe/bf16", "mixtral/v5", "qwen3_moe/dense_layers/orig"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_loads_strictly_and_stays_near_the_reference(
    name: str, variant: str, workshop: Workshop
) -> None:
    made = case(name)
    model = stock_model(workshop.artifact(name, variant))
    if variant == "nvfp4" and mx.default_device() == mx.cpu:
        return  # MLX multiplies with nvfp4's tensor scale only on a GPU
    prompt, _ = decoded(model, made)
    # Of the median token: one token may meet another expert where two router logits nearly tie.
    error = np.median(np.linalg.norm(prompt - made.logits, axis=-1) / np.linalg.norm(made.logits, axis=-1))
    limits = {"fp32": 1e-5, "fp16": 0.01, "bf16": 0.1, "8bit": 0.1, "6bit": 0.2, "5bit": 0.2, "mxfp8": 0.3}
    assert error < limits.get(variant, 0.9)


@pytest.mark.parametrize(
    ("variant", "mode", "bits", "group_size"),
    [("8bit", "affine", 8, 64), ("4bit", "affine", 4, 64), ("3bit", "affine", 3, 64), ("mxfp4", "mxfp4", 4, 32)],
)
def test_experts_and_attention_have_the_bits_that_mlx_lm_convert_gives_them(
    variant: str, mode: str, bits: int, group_size: int, workshop: Workshop, tmp_path: Path
) -> None:
    folder = workshop.artifact("qwen3_moe/bf16", variant)
    stock = stock_convert(stock_source(tmp_path), mode=mode, bits=bits, group_size=group_size)
    ours, theirs = read_folder(folder), read_folder(stock)
    assert ours.keys() == theirs.keys()
    for name, (dtype, held) in ours.items():
        if ".mlp.gate." in name:
            continue  # the router's bits are a recipe of hubbot's own
        assert theirs[name][0] == dtype, name
        assert np.array_equal(theirs[name][1], held), name


def test_the_plain_bf16_variant_has_the_bytes_of_mlx_lm_convert(workshop: Workshop, tmp_path: Path) -> None:
    ours = read_folder(workshop.artifact("qwen3_moe/bf16", "bf16"))
    theirs = read_folder(stock_convert(stock_source(tmp_path), mode=None, bits=0, group_size=0))
    assert ours.keys() == theirs.keys()
    assert all(ours[name][0] == theirs[name][0] == "BF16" for name in ours)
    assert all(np.array_equal(ours[name][1], theirs[name][1]) for name in ours)


@pytest.mark.parametrize("name", ["qwen3_moe/v5", "mixtral/sharded", "mixtral/v5"])
def test_every_expert_of_the_fp32_variant_is_the_transformers_parameter_bit_for_bit(
    name: str, workshop: Workshop
) -> None:
    model_type = name.split("/", maxsplit=1)[0]
    block, parts = {
        "qwen3_moe": ("mlp", {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}),
        "mixtral": ("block_sparse_moe", {"gate": "w1", "up": "w3", "down": "w2"}),
    }[model_type]
    # The per-expert spelling, as transformers itself writes it, names every matrix.
    spelled = tensors(case(f"{model_type}/orig"))
    made = read_folder(workshop.artifact(name, "fp32"))
    for layer in range(2):
        for part, stem in parts.items():
            stacked = floats(made[f"model.layers.{layer}.{block}.switch_mlp.{part}_proj.weight"])
            for expert, matrix in enumerate(stacked):
                key = f"model.layers.{layer}.{block}.experts.{expert}.{stem}.weight"
                assert np.array_equal(matrix, spelled[key])


@pytest.mark.parametrize("variant", ["bf16", "4bit", "moe-3bit", "nvfp4", "mxfp8"])
def test_all_forms_of_one_model_convert_to_the_same_weights(variant: str, workshop: Workshop) -> None:
    first, *others = (
        read_folder(workshop.artifact(f"qwen3_moe/{form}", variant)) for form in ("orig", "v5", "hub", "sharded")
    )
    for other in others:
        assert first.keys() == other.keys()
        assert all(np.array_equal(first[name][1], other[name][1]) for name in first)


@pytest.mark.parametrize("working_bytes", [1, 5000, 1 << 30])
def test_the_slice_size_changes_no_byte(working_bytes: int, workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source("qwen3_moe/v5")
    names = ("fp16", "3bit", "nvfp4")
    made = converted(source, tmp_path, *names, working_bytes=working_bytes)
    for name in names:
        assert contents(made[name]) == contents(workshop.artifact("qwen3_moe/v5", name))


def test_variants_made_together_or_alone_are_the_same(workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source("mixtral/hub")
    together = converted(source, tmp_path, "bf16", "8bit", "moe-mxfp4")
    for name, folder in together.items():
        assert contents(folder) == contents(workshop.artifact("mixtral/hub", name))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("qwen3_moe/hub", "model.layers.1.mlp.experts.5.up_proj.weight"),
        ("qwen3_moe/v5", "model.layers.1.mlp.experts.gate_up_proj"),
        ("qwen3_moe/bf16", "model.norm.weight"),
    ],
)
def test_nan_and_infinity_in_the_source_are_refused_and_nothing_is_left(
    name: str, tensor: str, value: float, tmp_path: Path
) -> None:
    source = damaged(name, tmp_path, tensor, value)
    with pytest.raises(ValueMismatch, match=r"NaN or infinity in '.*(up_proj|model.norm)") as caught:
        converted(source, tmp_path / "out", "bf16", "4bit")
    assert str(caught.value.where).startswith("model.")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_nan_is_told_with_the_expert_that_holds_it(tmp_path: Path) -> None:
    tensor = "model.layers.1.mlp.experts.5.up_proj.weight"
    source = damaged("qwen3_moe/hub", tmp_path, tensor, np.nan)
    with pytest.raises(ValueMismatch) as caught:
        converted(source, tmp_path / "out", "bf16", working_bytes=1 << 25)
    assert caught.value.where == tensor


def test_a_value_beyond_float16_is_refused_by_name_and_fits_bf16(tmp_path: Path) -> None:
    source = damaged("qwen3_moe/hub", tmp_path, "model.layers.0.self_attn.o_proj.weight", 70000.0)
    with pytest.raises(ValueMismatch, match=r"'model.layers.0.self_attn.o_proj.weight' has values beyond float16"):
        converted(source, tmp_path / "out", "fp16")
    assert list((tmp_path / "out").iterdir()) == []
    assert converted(source, tmp_path / "out", "bf16").keys() == {"bf16"}


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
    with pytest.raises(CorruptHeader, match="ends after"):
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


@pytest.mark.parametrize("variant", VARIANTS)
def test_predicted_bytes_and_bits_are_those_of_the_files(variant: str, workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/bf16")
    (planned_variant,) = planned(source, variant).variants
    stored = read_folder(workshop.artifact("qwen3_moe/bf16", variant))
    measured = sum(bits.nbytes for _, bits in stored.values())
    elements = sum(value.size for value in tensors(case("qwen3_moe/bf16")).values())
    assert planned_variant.nbytes == measured
    assert planned_variant.bits_per_weight == pytest.approx(8 * measured / elements, abs=1e-4)


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
        "chat_template.jinja": b"{{ x }}", "generation_config.json": b"{}",
    }  # fmt: skip
    left = ("modeling_evil.py", "evil.pkl", "pytorch_model.bin", "README.md", "hubbot.json", "report.json", ".env")
    for name, data in {**kept, **dict.fromkeys(left, b"x")}.items():
        (tmp_path / "source" / name).write_bytes(data)
    (tmp_path / "source" / "sub").mkdir()
    (tmp_path / "source" / "sub" / "LICENSE").write_bytes(b"x")
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


def test_a_float32_router_of_a_bf16_source_keeps_its_bits(tmp_path: Path) -> None:
    write(case("qwen3_moe/bf16"), tmp_path / "source")
    path = tmp_path / "source" / "model.safetensors"
    exact = tensors(case("qwen3_moe/orig"))
    stored = read_stored(path)
    routers = [name for name in stored if name.endswith("mlp.gate.weight")]
    for name in routers:
        stored[name] = ("F32", exact[name].view(np.uint32))
    path.write_bytes(safetensors(stored))
    for folder in converted(look(tmp_path / "source"), tmp_path / "out", "bf16", "4bit", "fp16").values():
        made = read_folder(folder)
        for name in routers:
            assert made[name][0] == "F32"
            assert np.array_equal(floats(made[name]), exact[name])


def test_quantized_experts_are_mx_quantize_of_the_whole_stack(workshop: Workshop) -> None:
    exact = tensors(case("qwen3_moe/v5"))
    made = read_folder(workshop.artifact("qwen3_moe/v5", "moe-4bit"))
    for layer in range(2):
        stem = f"model.layers.{layer}.mlp.switch_mlp.up_proj"
        up = mx.array(exact[f"model.layers.{layer}.mlp.experts.gate_up_proj"][:, 128:]).astype(mx.bfloat16)
        for part, array in zip(
            ("weight", "scales", "biases"), mx.quantize(up, group_size=64, bits=4), strict=True
        ):
            dtype, bits = from_mlx(array)
            assert made[f"{stem}.{part}"][0] == dtype
            assert np.array_equal(made[f"{stem}.{part}"][1], bits)
        assert to_mlx(made[f"{stem}.scales"]).dtype == mx.bfloat16


RECIPE = """
name = "mine"
experts = { bits = 3 }
rest = { bits = 6, group_size = 32 }
[[rule]]
pattern = "model.layers.0.*"
bits = 4
"""


def test_the_artifact_carries_the_recipe_that_makes_it_again(workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source("qwen3_moe/bf16")
    (tmp_path / "mine.toml").write_text(RECIPE)
    mine = read_recipe(tmp_path / "mine.toml")
    made = plan(source.checkpoint, source.layout, [mine], working_bytes=1 << 20)
    (artifact,) = step.convert(
        source.checkpoint,
        made,
        source=source.folder,
        out=tmp_path / "out",
        bounds=step.Bounds(working_bytes=1 << 20, shard_bytes=1 << 30),
        progress=lambda *_: None,
    )
    mark = read_mark(Path(artifact.path))
    assert mark is not None
    assert mark["recipe"] == json.loads(json.dumps(mine.to_json()))
    assert mark["recipe"]["rules"][0]["pattern"] == "model.layers.0.*"


def test_an_overflow_of_float16_is_told_with_the_expert_that_holds_it(tmp_path: Path) -> None:
    tensor = "model.layers.1.mlp.experts.3.up_proj.weight"
    source = damaged("qwen3_moe/hub", tmp_path, tensor, 1e6)
    with pytest.raises(ValueMismatch) as caught:
        converted(source, tmp_path / "out", "fp16", working_bytes=1 << 25)
    assert caught.value.where == tensor
