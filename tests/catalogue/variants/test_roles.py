import pytest

from hubbot.catalogue.families import FAMILIES, Family
from hubbot.catalogue.variants.roles import role_of
from hubbot.runtime import loading
from tests.checkpoints_on_disk import CONVERTIBLE, Workshop, planned
from tests.reference.checkpoints import case


@pytest.mark.parametrize(
    ("parameter", "role"),
    [
        ("model.layers.0.mlp.switch_mlp.gate_proj.weight", "expert"),
        ("model.layers.0.block_sparse_moe.switch_mlp.down_proj.weight", "expert"),
        ("model.layers.0.mlp.gate.weight", "router"),
        ("model.layers.0.mlp.gate.bias", "router"),
        ("model.layers.0.block_sparse_moe.gate.weight", "router"),
        ("model.layers.0.mlp.gate.e_score_correction_bias", "router"),
        ("model.layers.0.mlp.router.weight", "router"),
        ("model.layers.0.feed_forward.expert_bias", "router"),
        ("model.layers.0.mlp.shared_expert_gate.weight", "shared_expert_gate"),
        ("model.layers.0.mlp.shared_expert.gate_proj.weight", "shared_expert"),
        ("model.layers.0.mlp.shared_experts.up_proj.weight", "shared_expert"),
        ("model.layers.0.mlp.gate_proj.weight", "dense_mlp"),
        ("model.layers.0.self_attn.q_proj.weight", "attention"),
        ("model.layers.0.self_attn.q_proj.bias", "bias"),
        ("model.layers.0.self_attn.q_norm.weight", "norm"),
        ("model.layers.0.input_layernorm.weight", "norm"),
        ("model.layers.0.post_attention_layernorm.weight", "norm"),
        ("model.norm.weight", "norm"),
        ("model.embed_tokens.weight", "embedding"),
        ("lm_head.weight", "lm_head"),
        ("model.layers.0.mixer.A_log", "state"),
        ("model.layers.0.linear_attn.dt_bias", "state"),
        ("model.layers.0.ffn_hc.fn", "state"),
        ("model.hc_head.hc_scale", "state"),
        ("model.layers.2.self_attn.compressor.indexer.position_bias", "state"),
        ("model.layers.0.mlp.gate.tid2eid", "router"),
        ("model.layers.0.self_attn.sinks", "sinks"),
        ("model.layers.0.mamba.in_proj.weight", "attention"),
        ("model.layers.0.conv.out_proj.weight", "attention"),
        ("backbone.layers.0.mixer.up_proj.weight", "dense_mlp"),
        ("backbone.layers.0.mixer.switch_mlp.fc1.weight", "expert"),
        ("language_model.model.layers.0.experts.switch_glu.up_proj.weight", "expert"),
        ("model.layers.0.router.proj.weight", "router"),
        ("model.layers.0.router.per_expert_scale", "router"),
        ("model.layers.0.mlp.router.classifier.weight", "router"),
        ("model.layers.0.mlp.gate.proj.weight", "router"),
        ("model.layers.0.mlps.1.up_proj.weight", "dense_mlp"),
        ("model.layers.0.input_layernorm.1.weight", "norm"),
        ("backbone.embeddings.weight", "embedding"),
        ("model.word_embeddings.weight", "embedding"),
        ("something.else", "other"),
    ],
)
def test_a_parameters_role_is_read_from_its_name(parameter: str, role: str) -> None:
    assert role_of(parameter) == role


@pytest.mark.parametrize("name", ["qwen3_moe/hub", "qwen3_moe/dense_layers/hub", "mixtral/hub"])
def test_every_parameter_of_a_real_model_has_a_role_and_one_router_stands_beside_each_layers_experts(
    name: str,
) -> None:
    roles = [(role_of(parameter.name), parameter) for parameter in loading.skeleton(case(name).config)]
    assert "other" not in {role for role, _ in roles}
    experts = [parameter for role, parameter in roles if role == "expert"]
    routers = [parameter for role, parameter in roles if role == "router"]
    assert all(len(parameter.shape) == 3 for parameter in experts)
    assert len(experts) == 3 * len(routers) > 0
    assert {parameter.shape[0] for parameter in routers} == {parameter.shape[0] for parameter in experts}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_every_matrix_that_mlx_lm_quantizes_has_a_role_in_every_family(family: Family, workshop: Workshop) -> None:
    made = next(made for made in CONVERTIBLE if made.model_type == family.model_type)
    plan = planned(workshop.source(made.name), "bf16")
    roles = {move.output: move.role for move in plan.moves if move.quantizable}
    assert {name for name, role in roles.items() if role in {"other", "norm", "bias", "state"}} == set()
    held = {role for _, role in roles.items()} | {move.role for move in plan.moves}
    assert {"expert", "router", "attention", "embedding", "norm"} <= held
