import json
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes

from hubbot.errors import ConfigUnresolved, NoRuntime
from hubbot.runtime import loading
from tests.reference.checkpoints import case

# The config of a model of 30 billion parameters, as published (Qwen3-30B-A3B).
LARGE = {
    "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "intermediate_size": 6144,
    "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8, "decoder_sparse_step": 1,
    "mlp_only_layers": [], "moe_intermediate_size": 768, "rms_norm_eps": 1e-6, "vocab_size": 151936,
    "num_key_value_heads": 4, "head_dim": 128, "rope_theta": 1e6, "tie_word_embeddings": False,
    "max_position_embeddings": 40960, "norm_topk_prob": True,
}  # fmt: skip
MEASURE = """
import json, resource, sys
from hubbot.runtime import loading as runtime
from hubbot.engine.memory import peak_resident_bytes
before = peak_resident_bytes()
found = runtime.skeleton(json.loads(sys.argv[1]))
elements = 0
for parameter in found:
    count = 1
    for size in parameter.shape:
        count *= size
    elements += count
print(json.dumps([elements, peak_resident_bytes() - before]))
"""


@pytest.mark.parametrize("name", ["qwen3_moe/hub", "qwen3_moe/tied/hub", "mixtral/hub", "olmoe/hub"])
def test_the_skeleton_names_every_parameter_of_the_real_model(name: str) -> None:
    config = case(name).config
    model_class, args_class = _get_classes(config)
    real = dict(tree_flatten(model_class(args_class.from_dict(config)).parameters()))
    found = {parameter.name: parameter for parameter in loading.skeleton(config)}
    assert found.keys() == real.keys()
    assert all(found[key].shape == tuple(array.shape) for key, array in real.items())


def test_linear_embedding_and_switch_layers_can_be_quantized_and_norms_cannot() -> None:
    found = {parameter.name: parameter for parameter in loading.skeleton(case("qwen3_moe/hub").config)}
    quantizable = {name for name, parameter in found.items() if parameter.quantizable}
    assert {name for name in found if "norm" in name} == set(found) - quantizable
    scaled = {name for name, parameter in found.items() if parameter.takes_global_scale}
    assert scaled == {name for name in found if ".switch_mlp." in name}


def test_the_models_own_predicate_answers_for_its_modules() -> None:
    found = {parameter.name: parameter for parameter in loading.skeleton(case("qwen3_moe/hub").config)}
    assert found["model.layers.0.mlp.gate.weight"].predicate == {"group_size": 64, "bits": 8}
    assert found["lm_head.weight"].predicate is True
    assert found["model.norm.weight"].predicate is None
    assert {parameter.predicate for parameter in loading.skeleton(case("mixtral/hub").config)} == {None}


def test_the_skeleton_of_a_model_of_thirty_billion_parameters_evaluates_no_weight() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(LARGE)], check=True, capture_output=True, text=True
    )
    elements, grown = json.loads(done.stdout)
    assert elements == pytest.approx(30.5e9, rel=0.01)
    assert grown < 200 << 20


@pytest.mark.parametrize("model_type", ["hunyuan_v1_moe", "../utils", "os.path", "", None, 3])
def test_a_model_type_without_a_class_is_no_runtime(model_type: Any) -> None:
    with pytest.raises(NoRuntime):
        loading.skeleton({"model_type": model_type})


def test_a_config_that_the_class_rejects_is_unresolved_with_the_classs_words() -> None:
    config = {key: value for key, value in LARGE.items() if key != "num_experts"}
    with pytest.raises(ConfigUnresolved, match="num_experts"):
        loading.skeleton(config)


@pytest.mark.parametrize("key", ["num_attention_heads", "decoder_sparse_step", "head_dim", "hidden_size"])
def test_a_zero_that_the_class_divides_by_is_unresolved(key: str) -> None:
    with pytest.raises(ConfigUnresolved):
        loading.skeleton(LARGE | {key: 0})


def test_effective_args_are_those_after_the_classs_defaults() -> None:
    args = loading.effective_args({"model_type": "mixtral", "num_key_value_heads": None, "junk": 1})
    assert args["num_key_value_heads"] == args["num_attention_heads"] == 32
    assert args["rope_theta"] == 1e6
    assert "junk" not in args


def test_versions_are_the_installed_ones() -> None:
    assert loading.versions()["mlx"] == version("mlx")
    assert loading.versions()["mlx-lm"] == version("mlx-lm")


def test_dequantize_takes_raw_sixteen_bit_scales_and_computes_in_float32() -> None:
    array = mx.array(np.random.default_rng(4).normal(size=(2, 3, 128)).astype(np.float32)).astype(mx.bfloat16)
    weight, scales, biases = mx.quantize(array, group_size=64, bits=4)
    parts = {
        "weight": np.array(weight),
        "scales": np.array(scales.view(mx.uint16)),
        "biases": np.array(biases.view(mx.uint16)),
    }
    found = loading.dequantize(parts, mode="affine", bits=4, group_size=64, scale_dtype="BF16")
    shifts = np.arange(8, dtype=np.uint32) * 4
    codes = ((np.array(weight)[..., None] >> shifts) & 15).reshape(2, 3, 2, 64).astype(np.float32)
    by_hand = (
        codes * np.array(scales.astype(mx.float32))[..., None] + np.array(biases.astype(mx.float32))[..., None]
    )
    assert found.dtype == np.float32
    assert np.array_equal(found, by_hand.reshape(2, 3, 128).astype(np.float32))
