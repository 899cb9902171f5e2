import pytest

from hubbot.catalogue.experts.expert_layouts import BY_KEY
from hubbot.catalogue.experts.transformers_names import NAMINGS, naming_of, order_in, renamed
from hubbot.catalogue.families import FAMILIES


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_the_families_do_not_contradict_the_namings(family: object) -> None:
    model_type, layouts = family.model_type, family.layouts  # type: ignore[attr-defined]
    known = NAMINGS.get(model_type)
    if known is not None and known.is_gated:
        assert {found.order for found in layouts.values() if found.order} <= {known.order}
        assert known.row is None or known.row in layouts
        if known.row is None:
            assert all("{e}" not in BY_KEY[key].parts["down"] for key in layouts)


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
    ],
)
def test_a_name_is_changed_there_and_back(model_type: str, hub: str, module: str) -> None:
    naming = naming_of(model_type)
    assert renamed(naming, hub, on_hub=False) == module
    assert renamed(naming, module, on_hub=True) == hub
    assert renamed(naming, module, on_hub=False) == module


def test_a_fragment_is_whole_words() -> None:
    assert renamed(NAMINGS["nemotron_h"], "model.backbones.x", on_hub=False) == "model.backbones.x"


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
        ("cohere2_moe", "experts.gate_up_proj", "concatenated"),
        ("never_heard_of", "experts.gate_up_proj", None),
    ],
)
def test_an_order_belongs_to_a_name_in_a_model_type(model_type: str, part: str, order: str | None) -> None:
    assert order_in(model_type, part) == order
