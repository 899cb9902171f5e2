"""relayout of packed checkpoints: fp8 codes and scales moved together, or any packing decoded to bfloat16."""

import json
from pathlib import Path

import numpy as np
import pytest

from hubbot.catalogue.experts.relayout_moves import Rearrangement
from hubbot.catalogue.experts.relayout_packed import packed_rearrangement
from hubbot.checkpoints import Checkpoint
from hubbot.checks.readers.source_tensors import SourceTensors
from hubbot.errors import HubbotError, IncompleteCover, UnknownPacking
from hubbot.folders import Folder
from hubbot.steps.classify import classify
from hubbot.steps.inspect import inspect
from hubbot.steps.plan import plan
from hubbot.steps.relayout import left_out, relayout
from tests.checkpoints_on_disk import Stored, edit_json, quietly, read_folder, safetensors
from tests.reference.checkpoints import Floats, case, round_bf16, tensors, write

# One more than are held together, and widths of more than one block.
EXPERTS, WIDTH, HIDDEN, BLOCK = 20, 8, 12, 4
SHAPES = {"gate": (WIDTH, HIDDEN), "up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH)}


@pytest.fixture
def fp8(tmp_path: Path) -> Path:
    return in_blocks(tmp_path / "source", width=WIDTH)


def in_blocks(folder: Path, *, width: int, experts: int = EXPERTS) -> Path:
    """Qwen3 MoE of one layer, its experts in e4m3 with a scale for every 4 x 4 numbers."""
    generator = np.random.default_rng(5)
    write(case("qwen3_moe/orig"), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "num_hidden_layers": 1,
        "num_experts": experts,
        "moe_intermediate_size": width,
        "hidden_size": HIDDEN,
    }
    block = {"quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]}
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": block}))
    made: Stored = {"model.layers.0.mlp.gate.weight": ("F32", np.zeros((experts, HIDDEN), "<u4"))}
    for expert in range(experts):
        for projection, shape in {"gate": (width, HIDDEN), "up": (width, HIDDEN), "down": (HIDDEN, width)}.items():
            name = f"model.layers.0.mlp.experts.{expert}.{projection}_proj.weight"
            grid = tuple(-(-length // BLOCK) for length in shape)
            made[name] = ("F8_E4M3", generator.integers(0, 127, shape, dtype=np.uint8))
            scales = generator.random(grid, dtype=np.float32) + np.float32(0.5)
            made[f"{name}_scale_inv"] = ("F32", scales.view("<u4"))
    (folder / "model.safetensors").write_bytes(safetensors(made))
    return folder


def relaid(source: Path, out: Path, to: str, *, unpack: bool = False) -> tuple[Checkpoint, Rearrangement]:
    checkpoint = inspect(Folder(source))
    made = packed_rearrangement(checkpoint, to, unpack=unpack)
    relayout(
        checkpoint, made, source=source, out=out, working_bytes=1 << 12, shard_bytes=1 << 30, progress=quietly
    )
    return checkpoint, made


def decoded(folder: Path) -> dict[str, Floats]:
    """Every logical tensor as the referee reads it, with numpy alone."""
    found = SourceTensors(folder, inspect(Folder(folder)))
    return {name: found.floats(name, 0, info.shape[0]) for name, info in found.infos.items()}


def expected(folder: Path) -> dict[str, Floats]:
    """The source's experts as [experts, out, in] by projection."""
    values = decoded(folder)
    return {
        projection: np.stack(
            [values[f"model.layers.0.mlp.experts.{expert}.{projection}_proj.weight"] for expert in range(EXPERTS)]
        )
        for projection in SHAPES
    }


def test_codes_and_scales_move_together_into_a_fused_stack(fp8: Path, tmp_path: Path) -> None:
    relaid(fp8, tmp_path / "out", "stacked_fused")
    made, wanted = decoded(tmp_path / "out"), expected(fp8)
    joined = np.concatenate([wanted["gate"], wanted["up"]], axis=1)
    assert np.array_equal(made["model.layers.0.mlp.experts.gate_up_proj"], joined)
    assert np.array_equal(made["model.layers.0.mlp.experts.down_proj"], wanted["down"])
    dtype, scales = read_folder(tmp_path / "out")["model.layers.0.mlp.experts.gate_up_proj_scale_inv"]
    assert (dtype, scales.shape) == ("F32", (EXPERTS, 2 * WIDTH // BLOCK, HIDDEN // BLOCK))


def test_there_and_back_is_the_source_bit_for_bit(fp8: Path, tmp_path: Path) -> None:
    relaid(fp8, tmp_path / "there", "stacked")
    relaid(tmp_path / "there", tmp_path / "back", "per_expert")
    source, back = read_folder(fp8), read_folder(tmp_path / "back")
    assert source.keys() == back.keys()
    assert all(np.array_equal(values, back[name][1]) for name, (_, values) in source.items())


def test_fp8_is_decoded_as_numpy_does_and_the_config_says_no_more_of_it(fp8: Path, tmp_path: Path) -> None:
    relaid(fp8, tmp_path / "out", "stacked_fused", unpack=True)
    made, wanted = read_folder(tmp_path / "out"), expected(fp8)
    joined = np.concatenate([wanted["gate"], wanted["up"]], axis=1)
    dtype, bits = made["model.layers.0.mlp.experts.gate_up_proj"]
    assert dtype == "BF16"
    assert np.array_equal(bits.astype(np.uint32) << 16, round_bf16(joined).view(np.uint32))
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text())
    assert not any(name.endswith("_scale_inv") for name in made)


@pytest.mark.parametrize("name", ["kimi_k25/int4", "gpt_oss/mxfp4", "qwen3_5_moe/fp8"])
def test_every_packing_that_convert_reads_is_decoded(name: str, tmp_path: Path) -> None:
    made = case(name)
    source = write(made, tmp_path / "source")
    relaid(source, tmp_path / "out", "stacked_fused", unpack=True)
    out, truth = read_folder(tmp_path / "out"), tensors(made)
    total = sum(float(np.abs(round_bf16(values)).astype(np.float64).sum()) for values in truth.values())
    found = sum(
        float(np.abs(bits.view(np.float32) if kind == "F32" else (bits.astype(np.uint32) << 16).view(np.float32))
              .astype(np.float64).sum())
        for kind, bits in out.values()
    )  # fmt: skip
    assert found == pytest.approx(total, rel=1e-4)
    checkpoint = inspect(Folder(tmp_path / "out"))
    assert plan(checkpoint, classify(checkpoint), ["bf16"], working_bytes=1 << 20).packed == ()


def test_convert_takes_moved_codes(tmp_path: Path) -> None:
    source = write(case("qwen3_5_moe/fp8"), tmp_path / "source")
    checkpoint, _ = relaid(source, tmp_path / "out", "stacked")
    after = inspect(Folder(tmp_path / "out"))
    assert len(packed_rearrangement(after, "per_expert", unpack=False).outputs) == len(checkpoint.tensors)


def test_gate_and_up_that_would_share_a_scale_are_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = in_blocks(tmp_path / "source", width=6)
    with pytest.raises(UnknownPacking, match="would share blocks of 4 rows") as refused:
        packed_rearrangement(inspect(Folder(folder)), "stacked_fused", unpack=False)
    assert "--unpack bf16" in str(refused.value.hint)


def test_codes_of_another_packing_are_refused_with_the_way_out(tmp_path: Path) -> None:
    folder = write(case("kimi_k25/int4"), tmp_path / "source")
    with pytest.raises(UnknownPacking, match="no place for their scales") as refused:
        packed_rearrangement(inspect(Folder(folder)), "stacked_fused", unpack=False)
    assert "--unpack bf16" in str(refused.value.hint)


@pytest.mark.parametrize("unpack", [False, True])
def test_codes_without_scales_are_never_moved_as_if_they_were_weights(
    fp8: Path, unpack: bool, tmp_path: Path
) -> None:
    kept = {name: value for name, value in read_folder(fp8).items() if not name.endswith("_scale_inv")}
    (fp8 / "model.safetensors").write_bytes(safetensors(kept))
    with pytest.raises(HubbotError) as refused:
        packed_rearrangement(inspect(Folder(fp8)), "stacked_fused", unpack=unpack)
    assert isinstance(refused.value, IncompleteCover | UnknownPacking)
    edit_json(fp8 / "config.json", "quantization_config")
    with pytest.raises(UnknownPacking):
        packed_rearrangement(inspect(Folder(fp8)), "stacked_fused", unpack=unpack)


def test_a_form_that_is_there_already_is_said_to_be(tmp_path: Path) -> None:
    fused = write(case("qwen3_moe/v5"), tmp_path / "fused")
    assert packed_rearrangement(inspect(Folder(fused)), "stacked_fused", unpack=False).is_there_already
    assert not packed_rearrangement(inspect(Folder(fused)), "stacked", unpack=False).is_there_already


def test_code_is_left_out_and_named_and_the_config_names_it_no_more(fp8: Path, tmp_path: Path) -> None:
    edit_json(fp8 / "config.json", auto_map={"AutoModel": "modeling_x.Y"})
    (fp8 / "modeling_x.py").write_text("raise SystemExit")
    (fp8 / "vocab.bpe").write_text("x")
    checkpoint, made = relaid(fp8, tmp_path / "out", "stacked")
    assert left_out(checkpoint, made) == ("modeling_x.py", "vocab.bpe")
    assert not (tmp_path / "out" / "modeling_x.py").exists()
    assert "auto_map" not in json.loads((tmp_path / "out" / "config.json").read_text())
