import sys
import time
from importlib.metadata import version

import pytest

from hubbot.catalogue.configs.source_readers import readers
from hubbot.catalogue.families import FAMILIES, Family

WITHOUT_A_CLASS = {"bailing_moe", "hunyuan", "kimi_k3"}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_every_family_but_those_of_vendors_code_alone_has_a_class_in_transformers(family: Family) -> None:
    found = readers(family.transformers_type or family.model_type)
    assert (found is None) == (family.model_type in WITHOUT_A_CLASS)
    if found is not None:
        assert found.version == version("transformers")
        assert {"hidden_size", "num_attention_heads", "sliding_window"} <= found.names
        assert found.defaults.keys() & {"hidden_size", "vocab_size", "d_model"}


@pytest.mark.parametrize(
    ("model_type", "key"),
    [
        ("qwen3_moe", "norm_topk_prob"),  # an attribute of the modeling code
        ("minimax_m3_vl", "sparse_attention_config"),  # kwargs.pop by its name, in __post_init__
        ("mimo_v2_flash", "sliding_window_size"),  # kwargs.get
        ("glm_moe_dsa", "index_topk_freq"),
        ("kimi_linear", "linear_attn_config"),  # a nested dictionary
        ("nemotron_h", "mamba_dt_min"),  # renamed when read
        ("lfm2_moe", "tie_embedding"),
        ("mixtral", "sliding_window"),
        ("llama4", "attention_chunk_size"),
        ("sarvam_mla", "rope_interleave"),  # in DeepSeek-V3's class, which transformers takes for that type
        ("sarvam_moe", "use_qk_norm"),  # in that of GLM-4.5
    ],
)
def test_a_key_that_is_read_by_attribute_by_name_or_in_post_init_counts_as_read(model_type: str, key: str) -> None:
    found = readers(model_type)
    assert found is not None
    assert key in found.names


@pytest.mark.parametrize(
    ("model_type", "key"),
    [
        ("qwen3_moe", "use_qk_norm"),
        ("qwen3_moe", "shared_expert_intermediate_size"),
        ("minimax_m2", "mlp_intermediate_size"),
        ("dots1", "topk_method"),
        ("phimoe", "expert_dropout"),
        ("lfm2_moe", "theta"),
    ],
)
def test_a_key_that_is_declared_nowhere_or_never_asked_for_counts_as_unread(model_type: str, key: str) -> None:
    found = readers(model_type)
    assert found is not None
    assert key not in found.names


def test_of_a_wrapper_the_text_decoders_defaults_are_taken_and_its_own_types_files_followed() -> None:
    found = readers("qwen3_vl_moe")
    assert found is not None
    assert found.defaults["num_experts_per_tok"] == 4
    wrapped = readers("kimi_k25", "deepseek_v3")
    assert wrapped is not None
    assert {"n_routed_experts", "vision_config"} <= wrapped.names


def test_defaults_that_the_config_class_works_out_are_told_apart() -> None:
    found = readers("afmoe")
    assert found is not None
    assert "layer_types" in found.derived
    assert found.defaults["global_attn_every_n_layers"] == 4


@pytest.mark.parametrize("name", ["../../../etc/passwd", "", "auto", "qwen3_moe/../mixtral", "no_such_type"])
def test_a_name_that_transformers_does_not_list_opens_no_file(name: str) -> None:
    assert readers(name) is None
    assert readers("mixtral", name) == readers("mixtral")


def test_reading_the_sources_imports_neither_transformers_nor_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in {"transformers", "torch"}]:
        monkeypatch.delitem(sys.modules, name)
    assert readers("granitemoe") is not None
    assert not any(name.partition(".")[0] in {"transformers", "torch"} for name in sys.modules)


def test_one_family_is_scanned_in_a_fraction_of_a_second_and_then_known() -> None:
    readers("olmoe")
    start = time.perf_counter()
    readers("olmoe")
    assert time.perf_counter() - start < 0.05


def test_what_code_takes_for_a_key_that_it_asks_for_in_vain_is_no_default_of_the_config_class() -> None:
    found = readers("kimi_linear")
    assert found is not None
    assert found.asked["linear_attn_config"] == {}
    assert "linear_attn_config" not in found.defaults
