"""What convert writes: the numbers of transformers and mlx_lm, in every variant, however it is sliced."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from hubbot.catalogue.variants.named_variants import VARIANTS, Precision
from hubbot.catalogue.variants.recipes import read_recipe
from hubbot.engine import compute_threads
from hubbot.engine.formats import kernels
from hubbot.errors import ValueMismatch
from hubbot.marks import read_mark
from hubbot.steps import convert as step
from hubbot.steps.plan import plan
from tests.checkpoints_on_disk import (
    CONVERTIBLE,
    Source,
    Workshop,
    answer,
    contents,
    converted,
    decoded,
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
from tests.reference.cover import pairwise


def damaged(name: str, folder: Path, tensor: str, value: float) -> Source:
    """A reference with one element of one tensor replaced."""
    write(case(name), folder / "source")
    path = folder / "source" / "model.safetensors"
    stored = read_stored(path)
    bits = stored[tensor][1]
    bits.flat[-1] = np.float32(value).view(np.uint32) >> (32 - 8 * bits.itemsize)
    path.write_bytes(safetensors(stored))
    return look(folder / "source")


# Every form of experts meets every variant in some model; each case is converted once, to all that fall to it.
CHOSEN: dict[str, list[str]] = {}
for _made, _variant in pairwise(CONVERTIBLE, tuple(name for name in VARIANTS if name != "fp32")):
    CHOSEN.setdefault(_made.name, []).append(_variant)


@pytest.mark.parametrize("made", CONVERTIBLE, ids=lambda made: made.name)
def test_stock_mlx_lm_answers_as_transformers_did_and_loads_every_variant_strictly(
    made: Case, tmp_path: Path
) -> None:
    source = look(write(made, tmp_path / "source"))
    folders = converted(source, tmp_path / "out", "fp32", *CHOSEN[made.name])
    prompt, steps = decoded(stock_model(folders["fp32"]), made)
    assert relative(prompt, made.logits) < made.tolerance
    if made.decode_logits is not None:
        assert steps is not None
        assert relative(steps, made.decode_logits) < made.tolerance
    for variant in CHOSEN[made.name]:
        model = stock_model(folders[variant])
        # MLX multiplies with nvfp4's tensor scale only on a GPU.
        if variant != "nvfp4" or mx.default_device() != mx.cpu:
            assert np.isfinite(answer(model, made.ids[:6])).all(), variant


@pytest.mark.parametrize("name", ["qwen3_moe/hub", "qwen3_moe/bf16", "mixtral/v5", "qwen3_moe/dense_layers/orig"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_loads_strictly_and_stays_near_the_reference(
    name: str, variant: str, workshop: Workshop
) -> None:
    made = case(name)
    model = stock_model(workshop.artifact(name, variant))
    if variant == "nvfp4" and mx.default_device() == mx.cpu:
        pytest.skip("it loads strictly; MLX multiplies with nvfp4's tensor scale only on a GPU")
    prompt, _ = decoded(model, made)
    # Of the median token: one token may meet another expert where two router logits nearly tie.
    error = np.median(np.linalg.norm(prompt - made.logits, axis=-1) / np.linalg.norm(made.logits, axis=-1))
    limits = {"fp32": 1e-5, "fp16": 0.01, "bf16": 0.1, "8bit": 0.1, "6bit": 0.2, "5bit": 0.2, "mxfp8": 0.3}
    # A token passes the embedding, seven matrices a layer and the head.
    matrices = 7 * made.config["num_hidden_layers"] + 2
    assert error < (limits.get(variant) or error_after(matrices, VARIANTS[variant].experts))


def error_after(matrices: int, precision: Precision | None) -> float:
    """The relative error that the format itself makes of one matrix, independently added up over that many.

    Norms keep the length of what that noise turns, so that it never exceeds sqrt(2), that of an unrelated vector.
    """
    assert precision is not None
    matrix = mx.array(np.random.default_rng(0).standard_normal((256, 1024)).astype(np.float32))
    group, bits, mode = precision.group_size, precision.bits, precision.mode
    parts = mx.quantize(matrix, group_size=group, bits=bits, mode=mode)
    rounded = mx.dequantize(*parts, group_size=group, bits=bits, mode=mode)
    lost = np.square(np.array(rounded.astype(mx.float32) - matrix)).sum() / np.square(np.array(matrix)).sum()
    return float(np.sqrt(2 - 2 / np.sqrt(1 + matrices * lost)))


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


@pytest.mark.parametrize("variant", VARIANTS)
def test_predicted_bytes_and_bits_are_those_of_the_files(variant: str, workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/bf16")
    (planned_variant,) = planned(source, variant).variants
    stored = read_folder(workshop.artifact("qwen3_moe/bf16", variant))
    measured = sum(bits.nbytes for _, bits in stored.values())
    elements = sum(value.size for value in tensors(case("qwen3_moe/bf16")).values())
    assert planned_variant.nbytes == measured
    assert planned_variant.bits_per_weight == pytest.approx(8 * measured / elements, abs=1e-4)


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


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("name", ["qwen3_moe/bf16", "qwen3_moe/hub"])
def test_artifacts_are_the_same_bytes_whatever_the_lanes_and_the_kernels(
    name: str, lanes: int, workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    source, variants = workshop.source(name), ("bf16", "4bit", "6bit", "mxfp4", "nvfp4")
    usual = converted(source, tmp_path / "usual", *variants)
    assert kernels.checked("BF16").reason is None
    threads = compute_threads.ComputeThreads
    monkeypatch.setattr(kernels, "FUSED_FROM", 0)
    monkeypatch.setattr(compute_threads, "ComputeThreads", lambda _: threads(lanes))
    other = converted(source, tmp_path / "other", *variants)
    for variant in variants:
        assert contents(usual[variant]) == contents(other[variant])


def test_an_overflow_of_float16_is_told_with_the_expert_that_holds_it(tmp_path: Path) -> None:
    tensor = "model.layers.1.mlp.experts.3.up_proj.weight"
    source = damaged("qwen3_moe/hub", tmp_path, tensor, 1e6)
    with pytest.raises(ValueMismatch) as caught:
        converted(source, tmp_path / "out", "fp16", working_bytes=1 << 25)
    assert caught.value.where == tensor
