from collections.abc import Mapping
from typing import Any

import pytest

from hubbot.catalogue import resolution, runtimes
from hubbot.catalogue.configs import spellings
from hubbot.catalogue.families import BY_MODEL_TYPE, FAMILIES, Family
from hubbot.catalogue.resolution import Resolution
from hubbot.runtime import loading
from tests.checkpoints_on_disk import CONVERTIBLE, row_of
from tests.reference.checkpoints import case, cases

# hubbot's own classes leave fields empty that only some dialects spell out.
PAIRS = sorted(
    {
        (made.model_type, made.model)
        for made in CONVERTIBLE
        if made.form == "hub" and row_of(made.config).extension is None and "orig" in made.record["forms"]
    }
)


def resolve(config: Mapping[str, Any]) -> Resolution:
    family = row_of(config)
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None
    return resolution.resolve(config, family, fields)


def arguments(resolved: Resolution, family: Family) -> dict[str, Any]:
    """What the class itself makes of the written config: the text decoder's arguments, where they are inside."""
    if family.text_args:
        return loading.effective_text_args(resolved.config, family.text_args)
    return loading.effective_args(resolved.config)


def hub(name: str = "qwen3_moe/hub", **values: Any) -> dict[str, Any]:
    return case(name).config | values


def origins(resolved: Resolution) -> dict[str, tuple[Any, str]]:
    return {origin.field: (origin.value, origin.origin) for origin in resolved.origins}


@pytest.mark.parametrize(("model_type", "model"), PAIRS)
def test_transformers_4_and_5_spell_the_same_values(model_type: str, model: str) -> None:
    forms = {made.form: made for made in cases() if (made.model_type, made.model) == (model_type, model)}
    old, new = resolve(forms["hub"].config), resolve(forms["orig"].config)
    assert old.problems == new.problems == ()
    assert {k: v for k, (v, _) in origins(old).items()} == {k: v for k, (v, _) in origins(new).items()}
    said = forms["hub"].config.get("rope_theta", forms["hub"].config.get("rope_parameters", {}).get("rope_theta"))
    assert said is None or repr(said) in repr(old.origins)


def test_the_origin_of_a_value_says_which_spelling_it_was_read_from() -> None:
    old, new = resolve(case("qwen3_moe/hub").config), resolve(case("qwen3_moe/orig").config)
    assert origins(old)["rope_theta"] == (51234.0, "config")
    assert origins(new)["rope_theta"] == (51234.0, "config: rope_parameters.rope_theta")


@pytest.mark.parametrize("made", CONVERTIBLE, ids=lambda made: made.name)
def test_the_written_config_gives_mlx_lms_class_the_sources_values(made: Any) -> None:
    resolved = resolve(made.config)
    args = arguments(resolved, row_of(made.config))
    for origin in resolved.origins:
        assert args[origin.field] == loading.untagged(origin.value)
    # Values that the references keep away from every class default reach the class.
    assert ("51234.0" in repr(args)) == ("51234.0" in repr(made.config))
    said = {value for key, value in made.config.items() if key in spellings.TOP_K and isinstance(value, int)}
    assert said <= {value for key, value in args.items() if key in spellings.TOP_K}


def test_a_head_width_that_the_config_leaves_out_is_worked_out_as_transformers_does() -> None:
    # transformers' own default is hidden_size // heads, mlx-lm's class has none (parity facts).
    made = case("qwen3_moe/default_head_dim/orig")
    args = arguments(resolve(made.config), BY_MODEL_TYPE["qwen3_moe"])
    assert args["head_dim"] == made.config["hidden_size"] // made.config["num_attention_heads"]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_the_written_config_is_made_of_allowed_keys_only(family: Family) -> None:
    made = next(made for made in CONVERTIBLE if made.model_type == family.model_type)
    config = made.config | {
        "auto_map": {"AutoModel": "evil.py"}, "_name_or_path": "/home/me", "unsloth_fixed": True,
    }  # fmt: skip
    written = resolve(config).config
    fields = {field.name for field in runtimes.fields(family.runtime, family.model_file) or ()}
    assert set(written) <= fields | set(spellings.KEPT) | set(family.writes) | {"model_file"}
    assert written.get("model_file") == family.model_file
    if family.text_args:
        inner = {field.name for field in runtimes.fields(family.text_args) or ()}
        assert set(written["text_config"]) <= inner
    assert not {"auto_map", "_name_or_path", "unsloth_fixed"} & set(written)


@pytest.mark.parametrize(
    ("name", "extra", "told"),
    [
        ("mixtral/hub", {"sliding_window": 16}, "sliding_window = 16"),
        ("mixtral/hub", {"sliding_window": 511}, "sliding_window = 511"),
        ("qwen3_moe/hub", {"sliding_window": 16, "use_sliding_window": True}, "sliding_window = 16"),
        ("qwen3_moe/hub", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_scaling = "),
        ("qwen3_moe/hub", {"rope_scaling": {"type": "linear", "factor": 4.0}}, "rope_scaling = "),
        ("mixtral/hub", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_scaling = "),
        (
            "mixtral/orig",
            {"rope_parameters": {"rope_theta": 1e4, "rope_type": "yarn", "factor": 4.0}},
            "rope_type",
        ),
        (
            "qwen3_moe/orig",
            {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
            "partial_rotary",
        ),
        ("qwen3_moe/hub", {"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ("mixtral/hub", {"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ("qwen3_moe/hub", {"attention_bias": True}, "attention_bias = True"),
        ("qwen3_moe/hub", {"shared_expert_intermediate_size": 64}, "shared_expert_intermediate_size = 64"),
        ("qwen3_moe/hub", {"model_file": "model.py"}, "model_file = 'model.py'"),
        ("qwen3_moe/hub", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ("qwen3_moe/hub", {"clip_qkv": 8.0}, "clip_qkv = 8.0"),
        ("qwen3_moe/hub", {"routed_scaling_factor": 2.5}, "routed_scaling_factor = 2.5"),
        ("qwen3_moe/hub", {"scoring_func": "sigmoid"}, "scoring_func = 'sigmoid'"),
        ("qwen3_moe/hub", {"n_group": 4}, "n_group = 4"),
        ("mixtral/hub", {"head_dim": 16}, "head_dim = 16"),
        ("mixtral/hub", {"norm_topk_prob": False}, "norm_topk_prob = False"),
    ],
)
def test_a_flag_that_acts_and_that_the_runtime_ignores_is_a_problem_by_name(
    name: str, extra: dict[str, Any], told: str
) -> None:
    assert resolve(hub(name)).problems == ()
    problems = resolve(hub(name, **extra)).problems
    assert any(told in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("mixtral/hub", {"sliding_window": 512}),
        ("mixtral/hub", {"sliding_window": 4096}),
        ("qwen3_moe/hub", {"sliding_window": 16, "use_sliding_window": False}),
        ("qwen3_moe/hub", {"rope_scaling": {"rope_type": "default"}}),
        ("qwen3_moe/hub", {"rope_scaling": {"type": "default"}}),
        ("qwen3_moe/hub", {"layer_types": ["full_attention", "full_attention"]}),
        ("qwen3_moe/hub", {"n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0}),
        ("qwen3_moe/hub", {"quantum_flux": None}),
        ("qwen3_moe/hub", {"quantum_flux": False}),
        ("mixtral/hub", {"head_dim": 32}),
        ("mixtral/hub", {"attention_bias": False, "transformers.js_config": None}),
        ("qwen3_moe/orig", {"rope_parameters": {"rope_theta": 51234.0, "partial_rotary_factor": 1.0}}),
    ],
)
def test_a_flag_without_effect_is_no_problem(name: str, extra: dict[str, Any]) -> None:
    assert resolve(hub(name, **extra)).problems == ()


def test_a_window_that_cannot_act_is_noted() -> None:
    assert any("sliding_window = 4096" in note for note in resolve(hub("mixtral/hub", sliding_window=4096)).notes)
    assert resolve(hub("mixtral/hub")).notes == ()


def test_the_reference_whose_window_acts_is_a_problem_as_transformers_proved() -> None:
    made = case("mixtral/window/hub")
    assert made.expected == "refuse"
    assert any("sliding_window" in problem for problem in resolve(made.config).problems)


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"num_local_experts": 6}, "num_experts has two values"),
        ({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}, "rope_theta has two values"),
        ({"moe_topk": 1}, "num_experts_per_tok has two values"),
    ],
)
def test_two_spellings_with_two_values_are_a_problem_that_shows_both(extra: dict[str, Any], told: str) -> None:
    assert any(told in problem for problem in resolve(hub(**extra)).problems)


def test_two_spellings_with_one_value_are_fine() -> None:
    assert resolve(hub(num_local_experts=8, n_routed_experts=8)).problems == ()


@pytest.mark.parametrize("lost", ["num_experts", "num_hidden_layers", "vocab_size", "moe_intermediate_size"])
def test_a_lost_key_is_a_problem_by_name(lost: str) -> None:
    config = {key: value for key, value in hub().items() if key != lost}
    assert any(problem.startswith(f"{lost} is not in the config") for problem in resolve(config).problems)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("qwen3_moe/hub", "norm_topk_prob", False),
        ("qwen3_moe/hub", "mlp_only_layers", []),
        ("qwen3_moe/hub", "decoder_sparse_step", 1),
        ("qwen3_moe/hub", "tie_word_embeddings", False),
        ("mixtral/hub", "tie_word_embeddings", False),
        ("mixtral/hub", "rms_norm_eps", 1e-5),
        ("mixtral/hub", "num_key_value_heads", 8),
        ("deepseek_v3/hub", "n_group", 8),
        ("deepseek_v3/hub", "topk_group", 4),
        ("kimi_k2/hub", "n_group", 8),
        ("deepseek_v32/orig", "n_group", 8),
    ],
)
def test_an_omitted_key_takes_transformers_default_and_says_so(name: str, field: str, value: Any) -> None:
    config = {key: held for key, held in hub(name).items() if key != field}
    if field == "n_group":
        config["topk_group"] = 4  # of eight groups, so that enough of the tiny model's experts are left to choose
    resolved = resolve(config)
    # The tiny model has fewer heads than the default has key-value heads.
    assert [problem for problem in resolved.problems if field not in problem] == []
    assert origins(resolved)[field][0] == value
    assert "default of transformers 5.23" in origins(resolved)[field][1]
    assert resolved.config[field] == value


def test_an_omitted_head_dim_is_derived_and_says_so() -> None:
    config = {key: value for key, value in hub().items() if key != "head_dim"}
    assert origins(resolve(config))["head_dim"] == (16, "hidden_size / num_attention_heads (transformers 5.23)")


def test_rope_parameters_per_layer_type_are_a_problem() -> None:
    parameters = {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}
    problems = resolve(case("qwen3_moe/orig").config | {"rope_parameters": parameters}).problems
    assert any("rope_parameters differ by layer type" in problem for problem in problems)


@pytest.mark.parametrize("key", ["output_multiplier_scale", "output_softcap", "output_gate_type"])
def test_an_unknown_key_that_begins_with_output_is_a_problem(key: str) -> None:
    assert resolve(hub() | {key: 2.0}).problems != ()


def test_an_unknown_number_of_zero_is_a_problem() -> None:
    assert resolve(hub(residual_multiplier=0.0)).problems != ()


@pytest.mark.parametrize("top_k", [0, -1, 9, "3", True])
def test_a_top_k_that_no_router_can_choose_is_a_problem(top_k: Any) -> None:
    assert resolve(hub(num_experts_per_tok=top_k)).problems != ()


@pytest.mark.parametrize(
    ("key", "value"), [("rope_theta", "x"), ("rms_norm_eps", True), ("norm_topk_prob", "yes")]
)
def test_a_value_of_another_type_than_the_fields_is_a_problem(key: str, value: Any) -> None:
    assert resolve(hub(**{key: value})).problems != ()


def test_a_head_dim_that_is_no_number_is_a_problem() -> None:
    assert resolve(hub("mixtral/hub", head_dim={"a": 1})).problems != ()


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"num_experts": 8}, ("num_experts", 8)),
        ({"num_local_experts": 8}, ("num_local_experts", 8)),
        ({"n_routed_experts": 64}, ("n_routed_experts", 64)),
        ({"moe_num_experts": 4}, ("moe_num_experts", 4)),
        ({"text_config": {"num_experts": 8}}, ("text_config.num_experts", 8)),
        ({"num_experts": True}, None),
        ({"num_experts": "8"}, None),
        ({"num_experts": None, "text_config": []}, None),
        ({}, None),
    ],
)
def test_the_number_of_experts_is_found_under_its_names(
    config: dict[str, Any], found: tuple[str, int] | None
) -> None:
    assert resolution.expert_count(config) == found


def test_top_k_and_layers_are_found_or_none() -> None:
    assert resolution.experts_per_token({"moe_topk": 3}) == 3
    assert resolution.experts_per_token({}) is None
    assert resolution.layer_count({"text_config": {"num_hidden_layers": 4}}) == 4
    assert resolution.layer_count({"num_hidden_layers": 2.0}) is None
