import dataclasses
import importlib
import re
from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import _get_classes

from hubbot.catalogue import extensions, runtimes
from tests.reference.checkpoints import Floats, case, tensors

HUNYUAN = {
    "mlp_bias": False, "use_qk_norm": True, "rope_theta": 51234.0, "rope_scaling": None, "use_cla": False,
    "cla_share_factor": 1, "renormalise_top_k": True, "use_mixed_mlp_moe": True, "num_shared_expert": 1,
    "moe_layer_num_skipped": 0, "moe_intermediate_size": 192,
}  # fmt: skip
# Family, config values of the class that its reference's config.json does not hold, names on disk -> in the class.
CASES: Mapping[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "jamba": ("jamba", {}, {r"\.router\.weight": ".gate.weight"}),
    "ernie4_5_moe": (
        "ernie4_5_moe",
        {"head_dim": 32, "rope_theta": 51234.0},
        {r"\.moe_statics\.e_score_correction_bias": ".expert_bias"},
    ),
    "cohere2_moe": ("cohere2_moe", {}, {}),
    "hunyuan_v1_moe": ("hunyuan", HUNYUAN, {r"\.gate\.wg\.": ".gate."}),
}


def classes(name: str) -> Any:
    return importlib.import_module(f"{extensions.PACKAGE}.{name}")


def in_the_class(held: Mapping[str, Floats], renames: Mapping[str, str]) -> list[tuple[str, mx.array]]:
    stacks: dict[str, dict[int, Floats]] = {}
    found = {}
    for name, value in held.items():
        expert = re.fullmatch(r"(.*)\.experts\.(\d+)\.(\w+\.weight)", name)
        if expert:
            stacks.setdefault(f"{expert[1]}.switch_mlp.{expert[3]}", {})[int(expert[2])] = value
            continue
        for pattern, replacement in renames.items():
            name = re.sub(pattern, replacement, name)  # noqa: PLW2901
        found[name] = np.swapaxes(value, 1, 2) if "conv1d.weight" in name else value
    found |= {name: np.stack([stack[i] for i in range(len(stack))]) for name, stack in stacks.items()}
    return [(name, mx.array(value)) for name, value in found.items()]


def relative(measured: Floats, reference: Floats) -> float:
    return float(np.abs(measured - reference).max() / np.abs(reference).max())


@pytest.mark.parametrize("family", CASES)
def test_an_extension_computes_what_transformers_computes_with_and_without_cache(family: str) -> None:
    made = case(f"{family}/orig")
    file, values, renames = CASES[family]
    module = classes(file)
    with mx.stream(mx.cpu):
        model = module.Model(module.ModelArgs.from_dict({**made.config, **values}))
        model.load_weights(in_the_class(tensors(made), renames), strict=True)
        cache = make_prompt_cache(model)
        assert relative(np.array(model(mx.array(made.ids)[None])[0]), made.logits) < 1e-5
        assert relative(np.array(model(mx.array(made.ids)[None], cache=cache)[0]), made.logits) < 1e-5
        assert made.decode_ids is not None
        assert made.decode_logits is not None
        steps = [np.array(model(mx.array([[token]]), cache=cache)[0, 0]) for token in made.decode_ids.tolist()]
        assert relative(np.stack(steps), made.decode_logits) < 1e-5


@pytest.mark.parametrize("family", [family for family in CASES if runtimes.fields(CASES[family][0]) is not None])
def test_mlx_lms_own_class_would_refuse_the_names_of_an_extension(family: str) -> None:
    made = case(f"{family}/orig")
    file, values, _ = CASES[family]
    module = classes(file)
    config = {**made.config, **values, "model_type": file}
    ours = module.Model(module.ModelArgs.from_dict(config))
    model_class, args_class = _get_classes(config)
    stock = config | {"rope_scaling": {"type": "dynamic", "factor": 1.0, "alpha": 1.0}}
    theirs = model_class(args_class.from_dict(stock))
    weights = dict(tree_flatten(ours.parameters()))
    left = theirs.sanitize(weights) if hasattr(theirs, "sanitize") else weights
    with pytest.raises(ValueError, match="not in model"):
        theirs.load_weights(list(left.items()), strict=True)


@pytest.mark.parametrize("name", extensions.names())
def test_the_fields_read_from_the_source_are_those_of_the_class_and_all_are_read(name: str) -> None:
    real = dataclasses.fields(classes(name.removesuffix(".py")).ModelArgs)
    read = runtimes.fields("anything", name)
    assert read is not None
    assert [field.name for field in read] == [field.name for field in real]
    assert all(field.required for field in read)
    assert [field.name for field in read if not field.is_read] == []


@pytest.mark.parametrize(
    ("offset", "tokens", "long"), [(0, 64, False), (0, 65, True), (63, 1, False), (64, 1, True)]
)
def test_phimoe_rotates_by_the_factors_that_belong_to_the_length_of_the_context(
    offset: int, tokens: int, long: bool
) -> None:
    config = case("phimoe/longrope/hub").config
    module, scaling = classes("phimoe"), config["rope_scaling"]
    args = module.ModelArgs.from_dict({**config, "original_max_position_embeddings": 64})
    x = np.random.default_rng(7).standard_normal((1, 2, tokens, 32)).astype(np.float32)
    with mx.stream(mx.cpu):
        found = np.array(module.Rotary(args)(mx.array(x), offset))
    # LongRoPE's definition (arXiv:2402.13753, equation 3), with each set's own factor on the vectors.
    factors = np.array(scaling["long_factor" if long else "short_factor"])
    angles = np.outer(np.arange(offset, offset + tokens), 1 / (factors * 51234.0 ** (np.arange(0, 32, 2) / 32)))
    turned = (x[..., :16] + 1j * x[..., 16:]) * np.exp(1j * angles)
    expected = np.concatenate([turned.real, turned.imag], axis=-1)
    expected = expected * scaling["long_mscale" if long else "short_mscale"]
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("file", "name", "values", "told"),
    [
        ("phimoe", "phimoe/longrope/hub", {"rope_scaling": {"type": "yarn", "factor": 2.0}}, "longrope"),
        ("cohere2_moe", "cohere2_moe/orig", {"expert_selection_fn": "tanh"}, "expert_selection_fn"),
        ("cohere2_moe", "cohere2_moe/orig", {"layer_types": ["chunked_attention"] * 5}, "layer_types"),
        (
            "glm_moe_dsa",
            "glm_moe_dsa/shared/orig",
            {"indexer_types": ["shared"] * 6},
            "the first layer must be full",
        ),
        ("glm_moe_dsa", "glm_moe_dsa/shared/orig", {"indexer_types": ["full"]}, "for each layer"),
    ],
)
def test_an_extension_refuses_what_it_does_not_compute(
    file: str, name: str, values: dict[str, Any], told: str
) -> None:
    module = classes(file)
    needed = {field.name: None for field in dataclasses.fields(module.ModelArgs)}
    with pytest.raises(ValueError, match=told):
        module.ModelArgs.from_dict({**needed, **case(name).config, **values})


@pytest.mark.parametrize(
    "scaling", [{"type": "dynamic"}, {"type": "yarn", "alpha": 2.0}, {"type": "dynamic", "alpha": 0}]
)
def test_hunyuan_refuses_a_rope_that_it_does_not_compute(scaling: dict[str, Any]) -> None:
    config = {**case("hunyuan_v1_moe/orig").config, **HUNYUAN, "rope_scaling": scaling}
    with pytest.raises(ValueError, match="alpha"):
        classes("hunyuan").ModelArgs.from_dict(config)
