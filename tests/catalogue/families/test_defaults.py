"""What a row says of keys that a config leaves out, against transformers' config classes themselves."""

import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pytest

from hubbot.catalogue.configs.spellings import SYNONYMS
from hubbot.catalogue.families import BY_MODEL_TYPE, FAMILIES, Family
from tests.make_defaults import text_class

# A class attribute that stands for the same as the row's value, or that the class does not go by.
OTHERWISE: Mapping[tuple[str, str], str] = {
    ("deepseek_v2", "n_group"): "None is one group",
    ("deepseek_v2", "topk_group"): "None is one group",
    ("deepseek_v4", "compress_rates"): "None is 4 and 128 tokens an entry",
    ("ernie4_5_vl_moe", "moe_intermediate_size"): "None is [1536, 512], of which the first is for text",
    ("gpt_oss", "attention_bias"): "the class always has biases and reads no such field",
    ("granitemoehybrid", "position_embedding_type"): "None is no rope",
    ("granitemoe", "num_key_value_heads"): "None is as many as attention heads: 32 in the published models",
    ("olmoe", "num_key_value_heads"): "None is as many as attention heads: 16 in the published models",
    ("qwen3_moe", "mlp_only_layers"): "None is no layer",
    ("qwen3_next", "mlp_only_layers"): "None is no layer",
    ("qwen3_omni_moe", "mlp_only_layers"): "None is no layer",
    ("qwen3_omni_moe_thinker", "mlp_only_layers"): "None is no layer",
    ("qwen3_vl_moe", "mlp_only_layers"): "None is no layer",
    ("qwen3_vl_moe", "tie_word_embeddings"): "the config around the text decoder says so, not the one inside",
    **{
        ("minimax_m3_vl", f"index_{part}"): "the class takes none of it where no layer is sparse"
        for part in ("n_heads", "head_dim", "block_size", "topk_blocks")
    },
}
MISSING = object()


def declared(family: Family, field: str) -> list[Any]:
    """The defaults of transformers' config class under every spelling of `field`; none where it declares none."""
    known = text_class(family)
    keys = [known.attribute_map.get(key, key) for key in SYNONYMS.get(field, (field,))]
    found = [getattr(known, key, MISSING) for key in keys]
    if field == "rope_theta" and set(found) == {MISSING}:
        return [known.default_theta]
    return [value for value in found if value is not MISSING and not isinstance(value, property)]


def plain(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return {"__float__": "Infinity"} if value == math.inf else value


@pytest.mark.skipif(not version("transformers").startswith("5.24"), reason="the rows are held against 5.24")
@pytest.mark.parametrize(
    "family",
    [one for one in FAMILIES if one.default_source.startswith("transformers")],
    ids=lambda one: one.model_type,
)
def test_what_a_config_leaves_out_is_what_transformers_takes_for_it(family: Family) -> None:
    for field, value in family.defaults.items():
        found = [plain(one) for one in declared(family, field)]
        if (family.model_type, field) in OTHERWISE:
            assert value not in found, f"{field}: the exception is none"
        elif found:
            assert value in found, field


def test_every_exception_names_a_default_of_a_row() -> None:
    assert all(field in BY_MODEL_TYPE[model_type].defaults for model_type, field in OTHERWISE)
