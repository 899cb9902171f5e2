"""Relayout against transformers' own forms, and what it refuses."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from hubbot.engine.writer import WeightWriter
from hubbot.errors import (
    AmbiguousLayout,
    ConfigUnresolved,
    CorruptHeader,
    HubbotError,
    IncompleteCover,
    NotMixtureOfExperts,
    OutOfRoom,
    UnknownLayout,
    UnknownPacking,
    WrongUsage,
)
from tests.checkpoints_on_disk import Stored, edit_json, look, planned, read_folder
from tests.reference.checkpoints import case, cases, write
from tests.relaid import matrices, relaid, same, stored, write_checkpoint

NAMES = {made.name for made in cases()}
# Families that transformers 5 saves in a form of its own beside that of their checkpoints.
BOTH = sorted(
    made.name.removesuffix("/v5")
    for made in cases()
    if made.name.endswith("/v5") and made.name.removesuffix("v5") + "hub" in NAMES and made.expected == "convert"
)
# Its modules hold weights for experts that have none on the Hub: it is refused.
BOTH.remove("longcat_flash")
# Saved by transformers itself, in the form of the Hub and in its own.
SAVED = ["qwen3_5_moe", "qwen3_5_moe_text", "laguna", "jamba", "hunyuan_v1_moe"]


@pytest.fixture
def stacked(tmp_path: Path) -> Path:
    return written(tmp_path / "source", "stacked")


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    return written(tmp_path / "source", "per_expert")


def written(folder: Path, form: str, model_type: str = "qwen3_moe") -> Path:
    made = matrices(layers=2, experts=4, width=6, hidden=5, dtype="BF16", seed=3)
    tensors = stored(made, form, model_type=model_type, dtype="BF16")
    return write_checkpoint(folder, tensors, model_type=model_type, experts=4)


def changed(folder: Path, change: Callable[[Stored], Stored]) -> Path:
    return write_checkpoint(folder, change(read_folder(folder)), model_type="qwen3_moe", experts=4)


# What lies beside the decoder keeps the Hub's names, which transformers takes too: it renames as it loads.
BESIDE = ("vision_tower.", "model.vision_tower.", "mm_projector.", "model.mm_projector.")


def decoder(folder: Path) -> Stored:
    return {name: held for name, held in read_folder(folder).items() if not name.startswith(BESIDE)}


@pytest.mark.parametrize("name", BOTH)
def test_the_hubs_form_fused_is_transformers_own_form_and_comes_back(name: str, tmp_path: Path) -> None:
    source = write(case(f"{name}/hub"), tmp_path / "hub")
    v5 = write(case(f"{name}/v5"), tmp_path / "v5")
    relaid(source, "stacked_fused", tmp_path / "out")
    assert same(decoder(tmp_path / "out"), decoder(v5))
    if not name.startswith("granitemoe"):
        relaid(v5, "per_expert", tmp_path / "back", working_bytes=9000)
        assert same(decoder(tmp_path / "back"), decoder(source))
        relaid(tmp_path / "out", "per_expert", tmp_path / "round")
        assert same(read_folder(tmp_path / "round"), read_folder(source))


@pytest.mark.parametrize("name", SAVED)
def test_what_transformers_saves_as_single_experts_fused_is_its_own_form(name: str, tmp_path: Path) -> None:
    write(case(f"{name}/orig"), tmp_path / "orig")
    write(case(f"{name}/v5"), tmp_path / "v5")
    relaid(tmp_path / "orig", "stacked_fused", tmp_path / "out")
    assert same(read_folder(tmp_path / "out"), read_folder(tmp_path / "v5"))


@pytest.mark.parametrize("name", ["gpt_oss/hub", "llama4_text/hub", "qwen3_vl_moe/orig", "gemma4_text/orig"])
@pytest.mark.parametrize("to", ["per_expert", "stacked", "stacked_fused", "stacked_fused_transposed"])
def test_a_checkpoint_that_is_stacked_on_the_hub_comes_back_from_every_form(
    name: str, to: str, tmp_path: Path
) -> None:
    source = write(case(name), tmp_path / "hub")
    relaid(source, to, tmp_path / "there", working_bytes=1 << 16)
    own = "stacked_fused" if name.startswith(("gemma4", "qwen3_vl")) else "stacked_fused_transposed"
    relaid(tmp_path / "there", own, tmp_path / "back", working_bytes=1 << 16)
    assert same(read_folder(tmp_path / "back"), read_folder(source))


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("phimoe", "stacked"),
        ("lfm2_moe", "stacked_fused_transposed"),
        ("nemotron_h", "stacked"),
        ("exaone_moe", "stacked"),
    ],
)
def test_a_checkpoint_of_the_hub_comes_back_from_other_forms(name: str, to: str, tmp_path: Path) -> None:
    source = write(case(f"{name}/hub"), tmp_path / "hub")
    relaid(source, to, tmp_path / "there", working_bytes=1 << 16)
    relaid(tmp_path / "there", "per_expert", tmp_path / "back", working_bytes=1 << 16)
    assert same(read_folder(tmp_path / "back"), read_folder(source))


@pytest.mark.parametrize("name", ["hunyuan/fused/orig", "hunyuan/stacked/orig", "hunyuan/orig"])
@pytest.mark.parametrize("to", ["per_expert", "per_expert_up_first", "mlx_switch", "stacked"])
def test_every_form_of_hunyuan_becomes_every_other_and_comes_back(name: str, to: str, tmp_path: Path) -> None:
    source = write(case(name), tmp_path / "source")
    own = {"fused": "per_expert_up_first", "stacked": "mlx_switch", "base": "per_expert"}[case(name).model]
    made = relaid(source, to, tmp_path / "there")
    assert made.is_there_already == (to == own)
    assert same(read_folder(tmp_path / "there"), read_folder(source)) == (to == own)
    relaid(tmp_path / "there", own, tmp_path / "back")
    assert same(read_folder(tmp_path / "back"), read_folder(source))
    if to != "stacked":
        converted = planned(look(tmp_path / "there"), "fp32")
        assert converted.layout.row == to


def test_gate_and_up_of_hunyuan_change_places_where_they_share_a_tensor(tmp_path: Path) -> None:
    source = write(case("hunyuan/orig"), tmp_path / "source")
    relaid(source, "per_expert_up_first", tmp_path / "fused")
    relaid(source, "mlx_switch", tmp_path / "switch")
    before, fused, switch = map(read_folder, (source, tmp_path / "fused", tmp_path / "switch"))
    home = "model.layers.1.mlp"
    gate, up = (before[f"{home}.experts.2.{part}_proj.weight"][1] for part in ("gate", "up"))
    joined_up_first = fused[f"{home}.experts.2.gate_and_up_proj.weight"][1]
    assert np.array_equal(joined_up_first, np.concatenate([up, gate]))
    assert np.array_equal(switch[f"{home}.switch_mlp.gate_proj.weight"][1][2], gate)


def test_a_form_of_mlx_is_made_only_where_it_can_be_told_from_a_repo_of_mlx(apart: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="may be renamed"):
        relaid(apart, "mlx_switch", tmp_path / "out")
    with pytest.raises(WrongUsage, match="no checkpoint of this model type"):
        relaid(apart, "per_expert_up_first", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_experts_without_a_gate_cannot_be_fused_transposed(tmp_path: Path) -> None:
    source = write(case("nemotron_h/hub"), tmp_path / "hub")
    with pytest.raises(WrongUsage, match="without a gate"):
        relaid(source, "stacked_fused_transposed", tmp_path / "out")


def test_experts_that_only_exist_in_transformers_are_not_made_up(tmp_path: Path) -> None:
    source = write(case("longcat_flash/hub"), tmp_path / "hub")
    with pytest.raises(AmbiguousLayout, match="zero experts"):
        relaid(source, "stacked_fused", tmp_path / "out")


def test_experts_one_below_the_other_are_left_to_convert(tmp_path: Path) -> None:
    source = write(case("dbrx/orig"), tmp_path / "hub")
    with pytest.raises(UnknownLayout, match="one below the other"):
        relaid(source, "per_expert", tmp_path / "out")


def test_separate_stacks_that_the_configs_width_shows_to_be_transposed_are_turned(
    apart: Path, tmp_path: Path
) -> None:
    turned = {
        name: (dtype, np.ascontiguousarray(bits.swapaxes(1, 2)) if ".experts." in name else bits)
        for name, (dtype, bits) in read_folder(written(tmp_path / "stacked", "stacked")).items()
    }
    source = write_checkpoint(tmp_path / "turned", turned, model_type="qwen3_moe", experts=4)
    edit_json(source / "config.json", hidden_size=5)
    relaid(source, "per_expert", tmp_path / "out")
    assert same(read_folder(tmp_path / "out"), read_folder(apart))


def test_granites_stacked_experts_come_apart_and_together(tmp_path: Path) -> None:
    source = write(case("granitemoe/hub"), tmp_path / "hub")
    relaid(source, "per_expert", tmp_path / "apart")
    assert "model.layers.0.block_sparse_moe.experts.0.gate_proj.weight" in read_folder(tmp_path / "apart")
    relaid(tmp_path / "apart", "stacked_fused", tmp_path / "back")
    v5 = write(case("granitemoe/v5"), tmp_path / "v5")
    assert same(read_folder(tmp_path / "back"), read_folder(v5))


def test_veomni_finds_its_stacks_and_mlx_vlm_its_fused_ones(apart: Path, tmp_path: Path) -> None:
    one = read_folder(apart)
    relaid(apart, "stacked", tmp_path / "stacked")
    found = read_folder(tmp_path / "stacked")
    gates = [one[f"model.layers.1.mlp.experts.{e}.gate_proj.weight"][1] for e in range(4)]
    assert np.array_equal(found["model.layers.1.mlp.experts.gate_proj"][1], np.stack(gates))
    relaid(apart, "stacked_fused", tmp_path / "stacked_fused")
    pair = read_folder(tmp_path / "stacked_fused")["model.layers.1.mlp.experts.gate_up_proj"][1]
    assert pair.shape == (4, 12, 5)
    assert np.array_equal(pair[2, :6], gates[2])


def test_everything_beside_the_experts_is_taken_over_byte_for_byte_except_what_can_run(
    apart: Path, tmp_path: Path
) -> None:
    relaid(apart, "stacked_fused", tmp_path / "out")
    for name in ("config.json", "tokenizer.json", "README.md"):
        assert (tmp_path / "out" / name).read_bytes() == (apart / name).read_bytes()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "config.json", "tokenizer.json", "README.md", "hubbot.json", "model.safetensors",
        "model.safetensors.index.json",
    }  # fmt: skip
    with safe_open(tmp_path / "out" / "model.safetensors", framework="np") as file:
        assert file.metadata() == {"format": "pt"}


def test_large_checkpoints_are_written_in_shards_with_an_index(apart: Path, tmp_path: Path) -> None:
    relaid(apart, "stacked", tmp_path / "out", shard_bytes=500)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    shards = {path.name for path in (tmp_path / "out").glob("*.safetensors")}
    assert len(shards) > 2
    assert set(index["weight_map"].values()) == shards
    assert set(index["weight_map"]) == set(read_folder(tmp_path / "out"))


def test_experts_without_a_known_order_may_be_stacked_but_not_fused(tmp_path: Path) -> None:
    source = written(tmp_path / "source", "per_expert", "never_heard_of")
    relaid(source, "stacked", tmp_path / "out")
    with pytest.raises(AmbiguousLayout, match="nothing proves how gate and up share"):
        relaid(source, "stacked_fused", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_hunyuans_experts_come_apart_with_up_first(apart: Path, tmp_path: Path) -> None:
    plain = read_folder(apart)
    fused = {name: value for name, value in plain.items() if "gate_proj" not in name and "up_proj" not in name}
    for layer, expert in [(layer, expert) for layer in range(2) for expert in range(4)]:
        home = f"model.layers.{layer}.mlp.experts.{expert}"
        up, gate = (plain[f"{home}.{part}_proj.weight"][1] for part in ("up", "gate"))
        fused[f"{home}.gate_and_up_proj.weight"] = ("BF16", np.concatenate([up, gate]))
    source = write_checkpoint(tmp_path / "hunyuan", fused, model_type="hunyuan", experts=4)
    relaid(source, "per_expert", tmp_path / "out")
    assert same(read_folder(tmp_path / "out"), plain)
    with pytest.raises(AmbiguousLayout):
        relaid(source, "stacked_fused", tmp_path / "no")


GONE = "model.layers.1.mlp.experts.2.up_proj.weight"


def without(name: str) -> Callable[[Stored], Stored]:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def reshaped(tensors: Stored) -> Stored:
    dtype, bits = tensors[GONE]
    return tensors | {GONE: (dtype, np.ascontiguousarray(bits[:-1]))}


def retyped(tensors: Stored) -> Stored:
    return tensors | {GONE: ("F32", tensors[GONE][1].astype(np.uint32))}


def narrower(tensors: Stored) -> Stored:
    return {
        key: (dtype, np.ascontiguousarray(bits[:-1] if "down" not in key else bits[:, :-1]))
        if "layers.1.mlp.experts" in key
        else (dtype, bits)
        for key, (dtype, bits) in tensors.items()
    }


def beyond(tensors: Stored) -> Stored:
    return tensors | {GONE.replace(".2.", ".9."): tensors[GONE]}


def packed(tensors: Stored) -> Stored:
    return tensors | {f"{GONE}_scale_inv": ("F32", np.zeros((1, 1), np.uint32))}


def renamed(tensors: Stored) -> Stored:
    return {key.replace("up_proj", "upp_proj"): value for key, value in tensors.items()}


def layerless(tensors: Stored) -> Stored:
    return {key: value for key, value in tensors.items() if "layers.1.mlp.experts" not in key}


def ungated(tensors: Stored) -> Stored:
    return {key: value for key, value in tensors.items() if "gate_proj" not in key}


def mixed(tensors: Stored) -> Stored:
    kept = {key: value for key, value in tensors.items() if "layers.1.mlp.experts" not in key}
    for part in ("gate", "up", "down"):
        values = [tensors[f"model.layers.1.mlp.experts.{e}.{part}_proj.weight"][1] for e in range(4)]
        kept[f"model.layers.1.mlp.experts.{part}_proj"] = ("BF16", np.stack(values))
    return kept


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        (without(GONE), IncompleteCover, ["layer 1, expert 2 lacks up", GONE]),
        (reshaped, IncompleteCover, ["layer 1, expert 2", "[5, 5]", "[6, 5]", GONE]),
        (retyped, UnknownPacking, ["layer 1, expert 2", "F32", "BF16", GONE]),
        (narrower, IncompleteCover, ["layer 1, expert 0", "[5, 5]", "the other down tensors have [5, 6]"]),
        (beyond, IncompleteCover, ["layer 1 has an expert 9", "num_experts = 4"]),
        (packed, UnknownPacking, [f"{GONE}_scale_inv"]),
        (renamed, UnknownLayout, ["upp_proj"]),
        (layerless, IncompleteCover, ["a router, but no experts", "model.layers.1.mlp.gate.weight"]),
        (ungated, IncompleteCover, ["layer 0, expert 0 lacks gate"]),
        (mixed, AmbiguousLayout, ["several layouts at once", "per_expert (", "layer 0", "stacked (", "layer 1"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_experts_that_do_not_fit_are_named_and_nothing_is_written(
    apart: Path, tmp_path: Path, change: Callable[[Stored], Stored], kind: type[HubbotError], told: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        relaid(changed(apart, change), "stacked_fused", tmp_path / "out")
    for text in told:
        assert text in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_a_stack_of_too_few_experts_is_named(stacked: Path, tmp_path: Path) -> None:
    edit_json(stacked / "config.json", num_experts=5)
    with pytest.raises(IncompleteCover, match="layer 0 stacks 4 experts, the config says num_experts = 5"):
        relaid(stacked, "stacked_fused", tmp_path / "out")


def test_a_config_without_a_number_of_experts_is_unresolved(stacked: Path, tmp_path: Path) -> None:
    edit_json(stacked / "config.json", "num_experts")
    with pytest.raises(ConfigUnresolved, match="how many"):
        relaid(stacked, "stacked_fused", tmp_path / "out")


def test_a_dense_checkpoint_is_none_of_our_business(apart: Path, tmp_path: Path) -> None:
    with pytest.raises(NotMixtureOfExperts):
        relaid(
            changed(apart, lambda t: {"model.norm.weight": t["model.norm.weight"]}),
            "stacked_fused",
            tmp_path / "out",
        )


def test_an_mlx_repo_is_sent_back_to_its_source(apart: Path, tmp_path: Path) -> None:
    source = changed(
        apart,
        lambda t: {f"model.layers.0.mlp.switch_mlp.{p}_proj.weight": t[GONE] for p in ("gate", "up", "down")},
    )
    with pytest.raises(AmbiguousLayout, match="MLX's own form"):
        relaid(source, "stacked_fused", tmp_path / "out")


def test_a_folder_in_the_way_is_replaced_only_if_it_is_the_same_thing(apart: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    relaid(apart, "stacked_fused", out)
    before = read_folder(out)
    relaid(apart, "stacked_fused", out)
    assert same(read_folder(out), before)
    with pytest.raises(WrongUsage, match="does not mark the same source"):
        relaid(apart, "stacked", out)
    with pytest.raises(WrongUsage):
        relaid(apart, "stacked_fused", apart)
    (tmp_path / "thesis").mkdir()
    with pytest.raises(WrongUsage):
        relaid(apart, "stacked_fused", tmp_path / "thesis")
    assert (tmp_path / "thesis").is_dir()


def test_a_place_under_a_file_is_wrong_usage(apart: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WrongUsage, match="a file stands where"):
        relaid(apart, "stacked_fused", tmp_path / "file" / "out")


def test_a_full_disk_leaves_nothing_behind(apart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(WeightWriter, "write_at", full)
    with pytest.raises(OutOfRoom):
        relaid(apart, "stacked_fused", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_a_shard_that_ends_early_leaves_nothing_behind(apart: Path, tmp_path: Path) -> None:
    from hubbot.catalogue.experts.relayout_moves import rearrangement  # noqa: PLC0415
    from hubbot.steps.relayout import relayout  # noqa: PLC0415
    from tests.checkpoints_on_disk import quietly  # noqa: PLC0415
    from tests.relaid import looked  # noqa: PLC0415

    checkpoint = looked(apart)
    weights = apart / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(CorruptHeader, match=r"ends \d+ bytes early"):
        relayout(
            checkpoint,
            rearrangement(checkpoint, "stacked_fused"),
            source=apart,
            out=tmp_path / "out",
            working_bytes=1000,
            shard_bytes=1 << 30,
            progress=quietly,
        )
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def test_what_was_killed_goes_on_where_it_stopped(
    apart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write_at = WeightWriter.write_at

    def killed(self: WeightWriter, name: str, offset: int, data: memoryview) -> None:
        if len(written) == 6:
            self._recorder.submit(lambda: None).result()
            raise KeyboardInterrupt
        written.append(name)
        write_at(self, name, offset, data)

    with monkeypatch.context() as context:
        context.setattr(WeightWriter, "write_at", killed)
        with pytest.raises(KeyboardInterrupt):
            relaid(apart, "stacked", tmp_path / "out", shard_bytes=200)
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / ".out.partial").glob("*.safetensors"))
    again: list[str] = []

    def watched(self: WeightWriter, name: str, offset: int, data: memoryview) -> None:
        again.append(name)
        write_at(self, name, offset, data)

    with monkeypatch.context() as context:
        context.setattr(WeightWriter, "write_at", watched)
        relaid(apart, "stacked", tmp_path / "out", shard_bytes=200)
    assert not set(written[:3]) & set(again)
    shutil.rmtree(tmp_path / "fresh", ignore_errors=True)
    relaid(apart, "stacked", tmp_path / "fresh", shard_bytes=200)
    assert same(read_folder(tmp_path / "out"), read_folder(tmp_path / "fresh"))
