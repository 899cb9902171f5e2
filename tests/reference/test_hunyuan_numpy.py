import re

import numpy as np
import pytest

from tests.reference import hunyuan_numpy, make_hunyuan
from tests.reference.checkpoints import Case, case, cases, tensors

# What transformers' class has no switch for.
FIXED = {"use_cla": False, "use_qk_norm": True, "use_mixed_mlp_moe": True}


@pytest.mark.parametrize("name", ["hunyuan_v1_moe/orig", "hunyuan_v1_moe/alpha/hub"])
def test_the_stand_in_agrees_with_transformers_where_transformers_has_a_class(name: str) -> None:
    made = case(name)
    rope = made.config.get("rope_parameters", {})
    top = made.config["moe_topk"]
    width = {"attention_head_dim": made.config["head_dim"]}
    config = {"rope_theta": rope.get("rope_theta"), **width, **made.config, **FIXED}
    config["moe_topk"] = top[0] if isinstance(top, list) else top
    found = hunyuan_numpy.logits(config, tensors(made), made.ids.tolist())
    assert np.abs(found - made.logits).max() < 5e-6 * np.abs(made.logits).max()


@pytest.mark.parametrize(
    "made", [made for made in cases() if made.model_type == "hunyuan"], ids=lambda made: made.name
)
def test_the_records_hold_what_the_stand_in_computes(made: Case) -> None:
    found = make_hunyuan.answer(made.record, made.ids.tolist())
    assert np.allclose(found, made.logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "key", "other"),
    [
        ("base", "rope_theta", 10000.0),
        ("base", "rope_scaling", None),
        ("base", "use_qk_norm", False),
        ("base", "use_mixed_mlp_moe", False),
        ("base", "moe_topk", 2),
        ("renormalised", "moe_topk", 1),
    ],
)
def test_each_of_these_values_matters(model: str, key: str, other: object) -> None:
    made = case(f"hunyuan/{model}/orig" if model != "base" else "hunyuan/orig")
    config = {**made.config, key: other}
    found = hunyuan_numpy.logits(config, hunyuan_numpy.unfused(made.config, tensors(made)), made.ids.tolist())
    assert np.abs(found - made.logits).max() > 1e-2 * np.abs(made.logits).max()


def test_which_half_is_the_gate_and_how_qkv_is_grouped_matters() -> None:
    made = case("hunyuan/fused/orig")
    held = hunyuan_numpy.unfused(made.config, tensors(made))
    other = {"gate_proj": "up_proj", "up_proj": "gate_proj"}
    swapped = {re.sub("gate_proj|up_proj", lambda found: other[found[0]], name): held[name] for name in held}
    flat = dict(held)
    qkv = tensors(made)["model.layers.0.self_attn.qkv_proj.weight"]
    rows = [len(held[f"model.layers.0.self_attn.{part}_proj.weight"]) for part in "qkv"]
    for part, piece in zip("qkv", np.split(qkv, np.cumsum(rows)[:-1]), strict=True):
        flat[f"model.layers.0.self_attn.{part}_proj.weight"] = piece
    for wrong in (swapped, flat):
        found = hunyuan_numpy.logits(made.config, wrong, made.ids.tolist())
        assert np.abs(found - made.logits).max() > 1e-2 * np.abs(made.logits).max()


def test_keys_where_the_config_says_that_there_are_none_are_refused() -> None:
    made = case("hunyuan/orig")
    with pytest.raises(ValueError, match="layer 1 has keys of its own"):
        hunyuan_numpy.logits({**made.config, "use_cla": False}, tensors(made), made.ids.tolist())
