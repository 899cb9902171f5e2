import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import MODEL_REMAPPING, _get_classes, load_model
from numpy.typing import NDArray
from safetensors.numpy import load_file

from hubbot.catalogue.families import family_for
from tests.reference.checkpoints import RECORDS, Case, Floats, case, cases, files, tensors, write
from tests.reference.packing import PACKINGS

every_case = pytest.mark.parametrize("made", cases(), ids=lambda made: made.name)

# Config spellings that mlx-lm's classes read as they are.
OLD_CONFIGS = {(made.model_type, made.model): made.config for made in cases() if made.form == "hub"}
# Stock mlx-lm cannot take these as they lie on disk; the tests below edit their weights first.
EDITED = {"gpt_oss/hub", "gpt_oss/bf16", "gpt_oss/square/hub", "gpt_oss/untruncated/hub", "qwen3_next/bf16"}
# Nor these, in config or weights (facts of stock mlx-lm 0.32.2); the tests of the conversion read them.
BEYOND_STOCK = {
    "deepseek_v2",  # crashes where rope_scaling is null
    "granitemoehybrid",  # a tagged infinity in time_step_limit is taken for a number
    "llama4_text",  # a dense class of that name
    "longcat_flash",  # the zero experts' weights
    "mimo_v2_flash",  # the window is one token too short
    "nemotron_h",  # a tagged infinity in time_step_limit
}


def _has_class(model_type: str) -> bool:
    return find_spec(f"mlx_lm.models.{MODEL_REMAPPING.get(model_type, model_type)}") is not None


def _has_own_class(made: Case) -> bool:
    row = family_for(made.config, ())
    return row is not None and row.extension is not None


STOCK = [
    made
    for made in cases()
    if made.form in {"hub", "bf16"} and (made.model_type, made.model) in OLD_CONFIGS and made.name not in EDITED
    if _has_class(made.model_type)
    and made.model_type not in BEYOND_STOCK
    and made.model not in {"groups", "lone_mscale"}
    # Where the artifact runs on a class of hubbot's own, mlx-lm's is not expected to agree.
    and not (made.expected == "convert" and _has_own_class(made))
]


def relative(measured: Floats, reference: Floats) -> float:
    return float(np.abs(measured - reference).max() / np.abs(reference).max())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    # pytest keeps the folders of three runs; at megabytes a case that would be a gigabyte.
    yield tmp_path
    shutil.rmtree(tmp_path)


@every_case
def test_every_case_regenerates_to_its_recorded_bytes(made: Case) -> None:
    assert files(made).keys() == made.record["forms"][made.form]["files"].keys()


@every_case
def test_logits_are_finite_and_not_flat(made: Case) -> None:
    assert made.logits.dtype == np.float32
    thinker = made.config.get("thinker_config", {})  # Qwen3-Omni's text decoder lies one deeper
    config = made.config | thinker | (made.config | thinker).get("text_config", {})
    assert made.logits.shape == (len(made.ids), config["vocab_size"])
    assert np.isfinite(made.logits).all()
    # The output layer's answers are multiplied by it; what they are spread over shrinks with it.
    assert made.logits.std(axis=-1).min() > 0.5 * config.get("logit_scale", 1.0)
    assert len(set(made.logits.argmax(axis=-1).tolist())) > 4


@every_case
def test_decode_steps_follow_greedily_from_the_prompt(made: Case) -> None:
    if made.decode_ids is None or made.decode_logits is None:
        assert made.model != "base" or made.form == "bf16" or made.form in PACKINGS
        return
    assert np.isfinite(made.decode_logits).all()
    chosen = [made.logits[-1].argmax(), *made.decode_logits[:-1].argmax(axis=-1)]
    assert made.decode_ids.tolist() == chosen


@pytest.mark.parametrize("model_type", sorted({made.model_type for made in cases()}))
def test_each_tensor_holds_values_of_its_own(model_type: str) -> None:
    held = tensors(case(f"{model_type}/orig"))
    values = [value.tobytes() for value in held.values() if value.size > 8]
    assert len(set(values)) == len(values)


def test_names_are_unique_and_no_folder_is_empty() -> None:
    names = [made.name for made in cases()]
    assert len(set(names)) == len(names)
    assert {made.model_type for made in cases()} == {path.name for path in RECORDS.iterdir()}


def test_other_bytes_than_recorded_are_refused(folder: Path) -> None:
    made = case("mixtral/orig")
    altered = dataclasses.replace(made, record={**made.record, "seed": made.record["seed"] + 1})
    with pytest.raises(ValueError, match=r"model\.safetensors was regenerated with other bytes"):
        write(altered, folder)


def test_the_safetensors_library_reads_what_is_written(folder: Path) -> None:
    made = case("mixtral/orig")
    read = load_file(write(made, folder) / "model.safetensors")
    written = tensors(made)
    assert read.keys() == written.keys()
    assert all(np.array_equal(read[name], written[name]) for name in read)


def test_bf16_rounds_weights_and_norms_but_not_router_biases(folder: Path) -> None:
    write(case("glm4_moe/bf16"), folder)
    read = mx.load(str(folder / "model.safetensors"))
    assert isinstance(read, dict)
    exact = tensors(case("glm4_moe/orig"))
    floats = {name for name, value in read.items() if value.dtype == mx.float32}
    assert floats == {name for name in exact if name.endswith("e_score_correction_bias")}
    for name, value in read.items():
        rounded = np.array(mx.array(exact[name]).astype(value.dtype).astype(mx.float32))
        assert np.array_equal(np.array(value.astype(mx.float32)), rounded)
        assert (name in floats) == np.array_equal(rounded, exact[name])


@pytest.mark.parametrize("model_type", sorted({made.model_type for made in cases()}))
def test_router_biases_have_both_signs(model_type: str) -> None:
    held = tensors(case(f"{model_type}/orig"))
    biases = [value for name, value in held.items() if name.endswith("e_score_correction_bias")]
    assert all(value.min() < 0 < value.max() for value in biases)


@pytest.mark.parametrize(
    ("model_type", "block", "gate_up_down"),
    [
        ("qwen3_moe", "mlp", ("gate_proj", "up_proj", "down_proj")),
        ("mixtral", "block_sparse_moe", ("w1", "w3", "w2")),
    ],
)
def test_v5_holds_the_values_of_orig_fused_gate_rows_first(
    model_type: str, block: str, gate_up_down: tuple[str, str, str]
) -> None:
    orig, v5 = tensors(case(f"{model_type}/orig")), tensors(case(f"{model_type}/v5"))
    for layer in range(2):
        gate, up, down = (_stacked(orig, f"model.layers.{layer}.{block}", part) for part in gate_up_down)
        fused = f"model.layers.{layer}.mlp.experts"
        assert np.array_equal(v5[f"{fused}.gate_up_proj"], np.concatenate([gate, up], axis=1))
        assert np.array_equal(v5[f"{fused}.down_proj"], down)


def _stacked(held: Mapping[str, Floats], block: str, part: str) -> NDArray[np.float32]:
    count = sum(name.startswith(f"{block}.experts.") and f".{part}." in name for name in held)
    return np.stack([held[f"{block}.experts.{expert}.{part}.weight"] for expert in range(count)])


def test_sharded_spreads_the_experts_of_one_layer() -> None:
    described = case("qwen3_moe/sharded").record["forms"]["sharded"]["files"]
    homes = {
        shard
        for shard, file in described.items()
        for name in file.get("tensors", [])
        if name.startswith("model.layers.0.mlp.experts.")
    }
    assert len(homes) > 1


@pytest.mark.parametrize("made", STOCK, ids=lambda made: made.name)
def test_stock_mlx_lm_agrees_where_a_conversion_is_expected_and_only_there(made: Case, folder: Path) -> None:
    model = _stock_model(made, folder)
    cache = make_prompt_cache(model)
    error = relative(_answer(model, made.ids, cache), made.logits)
    if made.expected == "refuse":
        assert error > 1e-2
        return
    assert error < made.tolerance
    if made.decode_ids is not None and made.decode_logits is not None:
        steps = [_answer(model, made.decode_ids[i : i + 1], cache)[0] for i in range(len(made.decode_ids))]
        assert relative(np.stack(steps), made.decode_logits) < 1e-4


@pytest.mark.parametrize("name", sorted(EDITED))
def test_edited_weights_give_the_recorded_logits(name: str) -> None:
    made = case(name)
    config = OLD_CONFIGS[made.model_type, made.model]
    model_class, args_class = _get_classes(config)
    # Widening first matters: qwen3_next adds 1 to its norms in whatever dtype they are stored.
    weights = {key: mx.array(value) for key, value in tensors(made).items()}
    with mx.stream(mx.cpu):
        model = model_class(args_class.from_dict(config))
        weights = _split_interleaved(weights) if made.model_type == "gpt_oss" else model.sanitize(weights)
        model.load_weights(list(weights.items()))
        model.eval()
    assert relative(_answer(model, made.ids, None), made.logits) < made.tolerance


def _split_interleaved(weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Turn [E, in, out] with gate in the even and up in the odd columns into mlx-lm's [E, out, in]."""
    split: dict[str, mx.array] = {}
    for name, value in weights.items():
        stem = name.removesuffix("_bias")
        kind = "bias" if name.endswith("_proj_bias") else "weight"
        turned = value if kind == "bias" or value.ndim < 3 else mx.swapaxes(value, 1, 2)
        if stem.endswith("experts.gate_up_proj"):
            gate, up = (stem.replace("gate_up", part) for part in ("gate", "up"))
            split |= {f"{gate}.{kind}": turned[:, ::2], f"{up}.{kind}": turned[:, 1::2]}
        elif stem.endswith("experts.down_proj"):
            split[f"{stem}.{kind}"] = turned
        else:
            split[name] = value
    return split


def _stock_model(made: Case, folder: Path) -> Any:
    config = OLD_CONFIGS[made.model_type, made.model]
    with mx.stream(mx.cpu):
        model, _ = load_model(write(made, folder), model_config=config)
    # gather_mm on a CPU computes in float32 only; the stored bytes stay as they are.
    model.set_dtype(mx.float32)
    return model


def _answer(model: Any, ids: NDArray[np.int64], cache: Any) -> Floats:
    with mx.stream(mx.cpu):
        return np.array(model(mx.array(ids)[None], cache=cache)[0])
