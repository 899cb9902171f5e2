import pytest

from hubbot.catalogue.experts.transformers_names import naming_of, order_in, renamed


@pytest.mark.parametrize(
    ("model_type", "hub", "module"),
    [
        ("mixtral", "model.layers.0.block_sparse_moe.gate.weight", "model.layers.0.mlp.gate.weight"),
        ("phimoe", "model.layers.0.block_sparse_moe.gate.weight", "model.layers.0.mlp.router.weight"),
        ("phimoe", "model.layers.0.block_sparse_moe.experts", "model.layers.0.mlp.experts"),
        ("nemotron_h", "backbone.norm_f.weight", "model.norm_f.weight"),
        (
            "laguna",
            "model.layers.1.mlp.shared_expert.up_proj.weight",
            "model.layers.1.mlp.shared_experts.up_proj.weight",
        ),
        ("qwen3_moe", "model.norm.weight", "model.norm.weight"),
        # The module's name lies in the Hub's, or the Hub's in the module's.
        (
            "axk1",
            "model.layers.1.post_mlp_layernorm.weight",
            "model.layers.1.mlp.post_mlp_layernorm.weight",
        ),
        ("kimi_k25", "language_model.lm_head.weight", "lm_head.weight"),
        ("kimi_k25", "language_model.model.norm.weight", "model.language_model.norm.weight"),
    ],
)
def test_a_name_is_changed_there_and_back(model_type: str, hub: str, module: str) -> None:
    naming = naming_of(model_type)
    assert renamed(naming, hub, on_hub=False) == module
    assert renamed(naming, module, on_hub=True) == hub
    assert renamed(naming, module, on_hub=False) == module
    assert renamed(naming, hub, on_hub=True) == hub


def test_a_fragment_is_whole_words() -> None:
    assert renamed(naming_of("nemotron_h"), "model.backbones.x", on_hub=False) == "model.backbones.x"


def test_a_model_type_that_nobody_knows_keeps_its_names() -> None:
    assert naming_of("never_heard_of") is None
    assert renamed(None, "model.layers.0.mlp.gate.weight", on_hub=False) == "model.layers.0.mlp.gate.weight"


@pytest.mark.parametrize(
    ("model_type", "part", "order"),
    [
        ("qwen3_moe", "experts.gate_up_proj", "concatenated"),
        ("gpt_oss", "experts.gate_up_proj", "interleaved"),
        ("granitemoe", "input_linear.weight", "concatenated"),
        ("hunyuan", "experts.{e}.gate_and_up_proj.weight", "up-first"),
        ("hunyuan", "experts.gate_up_proj", None),
        ("qwen3_moe", "input_linear.weight", None),
        ("cohere2_moe", "experts.gate_up_proj", "concatenated"),
        ("never_heard_of", "experts.gate_up_proj", None),
    ],
)
def test_an_order_belongs_to_a_name_in_a_model_type(model_type: str, part: str, order: str | None) -> None:
    assert order_in(model_type, part) == order


@pytest.mark.parametrize(
    ("model_type", "row", "order", "is_gated"),
    [
        ("qwen3_moe", "per_expert", "concatenated", True),
        ("mixtral", "per_expert_w", "concatenated", True),
        ("gpt_oss", None, "interleaved", True),
        ("granitemoe", None, "concatenated", True),
        ("nemotron_h", "per_expert", None, False),
        ("hunyuan", "per_expert", None, True),
        ("cohere2_moe", "per_expert", "concatenated", True),
    ],
)
def test_a_naming_follows_from_the_layouts_of_a_row(
    model_type: str, row: str | None, order: str | None, *, is_gated: bool
) -> None:
    naming = naming_of(model_type)
    assert naming is not None
    assert (naming.row, naming.order, naming.is_gated) == (row, order, is_gated)


def test_a_recognised_type_without_a_proven_order_is_not_known() -> None:
    assert naming_of("hy_v4") is None
