import json

import pytest

from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.checks.decisive.source_settings import Setting, SourceSettings, defaults_of, text_decoder
from tests import make_defaults


def test_the_defaults_are_those_of_the_installed_transformers() -> None:
    assert make_defaults.PATH.read_text(encoding="utf-8") == make_defaults.render()


def test_every_family_has_defaults_unless_transformers_has_no_class_for_it() -> None:
    assert {kind for kind in BY_MODEL_TYPE if not defaults_of(kind)} == {"bailing_moe", "hunyuan", "kimi_k3"}


def test_the_file_names_the_version_that_it_was_made_of() -> None:
    assert json.loads(make_defaults.PATH.read_text(encoding="utf-8"))["transformers"] == "5.24.0"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"text_config": {"num_experts": 4}, "num_experts": 2}, {"num_experts": 4}),
        (
            {"text_config": {"tie_word_embeddings": True}, "tie_word_embeddings": False},
            {"tie_word_embeddings": False},
        ),
        ({"text_config": {"eos_token_id": None}, "eos_token_id": 2}, {"eos_token_id": 2}),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_the_text_decoder_is_what_stands_inside_over_what_stands_outside(
    config: dict[str, object], expected: dict[str, object]
) -> None:
    assert text_decoder(config) == expected


def test_the_first_key_that_holds_a_value_counts_and_is_named() -> None:
    source = SourceSettings({"model_type": "mixtral", "num_experts": None, "num_local_experts": 6})
    assert source.said("num_experts", "num_local_experts") == Setting(value=6, key="num_local_experts")
    assert source.said("n_shared_experts") is None


def test_null_is_a_value_where_it_says_that_there_is_none() -> None:
    source = SourceSettings({"model_type": "deepseek_v3", "q_lora_rank": None, "routed_scaling_factor": None})
    assert source.said("q_lora_rank") == Setting(value=None, key="q_lora_rank")
    assert source.said("routed_scaling_factor") is None
    default = Setting(value=2.5, key="transformers' default of routed_scaling_factor")
    assert source.default("routed_scaling_factor") == default


def test_a_list_that_says_the_same_for_every_layer_is_that_value() -> None:
    source = SourceSettings({"model_type": "hunyuan", "moe_topk": [2, 2, 2], "num_shared_expert": [1, 2]})
    assert source.said("moe_topk") == Setting(value=2, key="moe_topk")
    assert source.said("num_shared_expert") == Setting(value=[1, 2], key="num_shared_expert")
