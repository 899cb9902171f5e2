from typing import Any

import pytest

from hubbot.checks.decisive.respelled_settings import decisive
from hubbot.checks.decisive.source_settings import SourceSettings

FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"


@pytest.mark.parametrize(
    ("model_type", "field", "config", "value"),
    [
        ("qwen3_moe", "head_dim", {"hidden_size": 64, "num_attention_heads": 4}, 16),
        ("qwen3_next", "head_dim", {"hidden_size": 64, "num_attention_heads": 4}, 256),  # a default of its own
        ("glm_moe_dsa", "first_k_dense_replace", {"mlp_layer_types": ["dense", "sparse", "sparse"]}, 1),
        ("exaone_moe", "is_moe_layer", {"mlp_layer_types": ["dense", "sparse"]}, [False, True]),
        ("exaone_moe", "is_moe_layer", {"first_k_dense_replace": 1, "num_hidden_layers": 2}, [False, True]),
        ("qwen3_next", "full_attention_interval", {"layer_types": [LINEAR, LINEAR, FULL]}, 3),
        ("qwen3_next", "full_attention_interval", {}, 4),
        ("lfm2_moe", "full_attn_idxs", {"layer_types": ["conv", FULL]}, [1]),
        (
            "nemotron_h",
            "hybrid_override_pattern",
            {"layers_block_type": ["mamba", "moe", "attention", "mlp"]},
            "ME*-",
        ),
        ("nemotron_h", "num_hidden_layers", {"hybrid_override_pattern": "ME*"}, 3),
        ("mimo_v2_flash", "sliding_window_size", {"sliding_window_size": 128, "sliding_window": 128}, 129),
        ("mimo_v2_flash", "sliding_window_size", {"sliding_window": 129}, 129),
        ("mimo_v2_flash", "hybrid_layer_pattern", {"layer_types": [FULL, SLIDING]}, [0, 1]),
        ("mimo_v2_flash", "swa_num_key_value_heads", {"num_key_value_heads": 4}, 8),
        ("gemma4_text", "global_head_dim", {"per_layer_config": {"1": {"head_dim": 64}}}, 64),
        ("gemma4_text", "global_head_dim", {}, 512),
        ("laguna", "num_attention_heads_per_layer", {"num_attention_heads": 4, "num_hidden_layers": 2}, [4, 4]),
        ("hunyuan", "renormalise_top_k", {"moe_topk": 1}, False),
        ("qwen3_5_moe_text", "norm_topk_prob", {"norm_topk_prob": False}, True),  # transformers never asks
        ("deepseek_v3", "scoring_func", {}, "sigmoid"),
        ("bailing_hybrid", "head_dim", {"head_dim": 64, "linear_head_dim": 128}, 128),
        ("granitemoeshared", "layer_types", {"num_hidden_layers": 2}, [FULL, FULL]),
        ("mimo_v2_flash", "moe_layer_freq", {"mlp_layer_types": ["dense", "sparse"]}, [0, 1]),
    ],
)
def test_a_setting_that_is_spelled_in_another_form(
    model_type: str, field: str, config: dict[str, Any], value: object
) -> None:
    found = decisive(SourceSettings({"model_type": model_type, **config}), field)
    assert found is not None
    assert found.value == value
    assert found.key


def test_a_dense_layer_after_a_sparse_one_is_no_count_of_dense_layers() -> None:
    config = {"model_type": "deepseek_v3", "mlp_layer_types": ["dense", "sparse", "dense"]}
    found = decisive(SourceSettings(config), "first_k_dense_replace")
    assert found is not None
    assert found.key == "transformers' default of first_k_dense_replace"


def test_what_is_not_decisive_is_not_derived() -> None:
    assert decisive(SourceSettings({"model_type": "mixtral", "vocab_size": 9}), "vocab_size") is None
