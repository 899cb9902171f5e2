import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from mlx.utils import tree_flatten

from hubbot.catalogue.tensors import share
from hubbot.catalogue.towers import ROLE
from hubbot.catalogue.variants.named_variants import VARIANTS
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import HubbotError, IncompleteCover, RecipeIneffective, UnknownLayout, WrongUsage
from hubbot.moves import take
from hubbot.plans import Plan
from hubbot.runtime import loading
from hubbot.steps import plan as step
from hubbot.steps.plan import plan
from tests.checkpoints_on_disk import CONVERTIBLE, Source, Workshop, planned, row_of
from tests.reference.checkpoints import Case, tensors


def replan(source: Source, *variants: str, without: str = "", extra: Any = None, **config: Any) -> Plan:
    found = source.checkpoint
    held = {name: tensor for name, tensor in found.tensors.items() if not (without and name.endswith(without))}
    if extra:
        held[extra[0]] = TensorInfo(name=extra[0], dtype="F32", shape=extra[1], shard="m", start=0, end=1)
    altered = dataclasses.replace(found, tensors=held, config={**found.config, **config})
    return plan(altered, source.layout, variants or ("bf16",), working_bytes=1 << 20)


def settings(key: str, value: Any) -> dict[str, Any]:
    return {key: value}


@pytest.fixture
def qwen(workshop: Workshop) -> Source:
    return workshop.source("qwen3_moe/hub")


@pytest.mark.parametrize("made", CONVERTIBLE, ids=lambda made: made.name)
def test_every_source_tensor_is_used_once_or_dropped_and_every_parameter_is_made_once(
    made: Case, workshop: Workshop
) -> None:
    plan = planned(workshop.source(made.name), "bf16")
    elements = {name: value.size for name, value in tensors(made).items()}
    used = dict.fromkeys(elements, 0)
    for move in plan.moves:
        for name in () if move.is_copy else move.sources:
            used[name] += int(np.prod(move.shape)) // len(move.sources)
    # What only says how a packed tensor is stored is dropped by its own name, and no logical tensor.
    dropped = {drop.name for drop in plan.drops} & elements.keys()
    assert {name for name, count in used.items() if not count} == dropped
    for name in elements.keys() - dropped:
        stacked = made.model_type == "longcat_flash" and name.endswith("experts.gate_up_proj")
        # Of nine stacked experts three are zero experts, which compute nothing.
        # ERNIE 4.5 VL keeps a part for images alone behind the one for text.
        whole = used[name] * share(name, row_of(made.config), made.config)
        assert whole == elements[name] * (6 if stacked else 9) // 9
    real = tree_flatten(loading.build(plan.config).parameters())
    decoder = [(move.output, move.shape) for move in plan.moves if move.role != ROLE]
    assert decoder == [(name, tuple(a.shape)) for name, a in real]


def test_experts_are_stacked_in_the_order_of_their_numbers(workshop: Workshop) -> None:
    plan = planned(workshop.source("qwen3_moe/sharded"), "bf16")
    move = next(move for move in plan.moves if move.output == "model.layers.1.mlp.switch_mlp.up_proj.weight")
    assert move.sources == tuple(f"model.layers.1.mlp.experts.{expert}.up_proj.weight" for expert in range(8))
    assert move.stacked
    assert move.view == ()


def test_gate_is_the_first_half_of_a_fused_tensor_and_up_the_second(workshop: Workshop) -> None:
    plan = planned(workshop.source("qwen3_moe/v5"), "bf16")
    views = {
        move.output.split(".")[-2]: move.view for move in plan.moves if "layers.0" in move.output and move.view
    }
    assert views == {"gate_proj": (take(0, 128),), "up_proj": (take(128, 256),)}


@pytest.mark.parametrize("name", ["qwen3_moe/tied/hub", "mixtral/tied/hub"])
def test_a_tied_output_layer_is_dropped_and_the_reason_recorded(name: str, workshop: Workshop) -> None:
    source = workshop.source(name)
    embedding = source.checkpoint.tensors["model.embed_tokens.weight"]
    plan = replan(source, extra=("lm_head.weight", embedding.shape))
    assert [drop.name for drop in plan.drops] == ["lm_head.weight"]
    assert "tie_word_embeddings" in plan.drops[0].reason
    assert "lm_head.weight" not in {move.output for move in plan.moves}


def test_an_extra_tensor_is_refused_by_name(qwen: Source) -> None:
    with pytest.raises(IncompleteCover, match=r"'model.layers.0.mlp.magic.weight' has no place"):
        replan(qwen, extra=("model.layers.0.mlp.magic.weight", (3, 4)))


@pytest.mark.parametrize("lost", ["model.norm.weight", "lm_head.weight", "layers.1.self_attn.q_norm.weight"])
def test_a_missing_tensor_is_refused_by_the_parameter_that_nothing_makes(qwen: Source, lost: str) -> None:
    with pytest.raises(IncompleteCover, match="nothing in the source makes '.*" + lost.replace(".", r"\.")):
        replan(qwen, without=lost)


def test_all_that_is_left_over_is_named_a_few_in_the_line_and_all_beside_it(workshop: Workshop) -> None:
    source = workshop.source("hunyuan/orig")
    tensors = source.checkpoint.tensors
    routers = [name for name in tensors if name.endswith("mlp.gate.wg.weight")]
    stray = [f"model.layers.0.mlp.magic_{number}.weight" for number in range(9)]
    held = {name: info for name, info in tensors.items() if name not in routers}
    held |= {name: TensorInfo(name=name, dtype="F32", shape=(3,), shard="m", start=0, end=12) for name in stray}
    altered = dataclasses.replace(source.checkpoint, tensors=held)
    with pytest.raises(IncompleteCover, match="and 3 more have no place in mlx-lm's model") as caught:
        plan(altered, source.layout, ["bf16"], working_bytes=1 << 20)
    names = caught.value.names
    assert names["without_a_place"] == stray
    assert sorted(names["missing"]) == sorted(name.replace("gate.wg", "gate") for name in routers)
    # Not one router is there to show how the source spells it: the family's renames, backwards.
    assert sorted(names["missing_in_the_source"]) == sorted(routers)
    assert repr(names["missing_in_the_source"][0]) in caught.value.message
    assert repr(stray[8]) not in caught.value.message


def test_what_one_layer_lacks_is_named_as_the_other_layers_have_it(workshop: Workshop) -> None:
    source = workshop.source("hunyuan/fused/orig")
    lost = "model.layers.0.self_attn.qkv_proj.weight"
    with pytest.raises(IncompleteCover, match=rf"in the source's names '{lost}'") as caught:
        replan(source, without=lost)
    assert [name.split(".")[-2] for name in caught.value.names["missing"]] == ["q_proj", "k_proj", "v_proj"]
    assert caught.value.names["missing_in_the_source"] == [lost]


@pytest.mark.parametrize(("key", "value"), [("vocab_size", 256), ("num_attention_heads", 8), ("head_dim", 64)])
def test_a_config_of_another_model_is_refused_with_both_shapes(qwen: Source, key: str, value: int) -> None:
    with pytest.raises(IncompleteCover, match=r"gives .*, mlx-lm's .* needs") as caught:
        replan(qwen, **settings(key, value))
    assert "do not belong together" in str(caught.value.hint)


def test_a_tensor_of_another_shape_is_refused_with_both_shapes(qwen: Source) -> None:
    with pytest.raises(IncompleteCover, match=r"gives \[65\], mlx-lm's 'model.norm.weight' needs \[64\]"):
        replan(qwen, extra=("model.norm.weight", (65,)))


def test_two_tensors_for_one_parameter_are_refused(workshop: Workshop) -> None:
    source = workshop.source("mixtral/hub")
    shape = source.checkpoint.tensors["model.layers.0.block_sparse_moe.gate.weight"].shape
    with pytest.raises(IncompleteCover, match="would be made twice"):
        replan(source, extra=("model.layers.0.mlp.gate.weight", shape))


def test_a_recipe_that_would_quantize_nothing_is_refused(qwen: Source) -> None:
    odd = dataclasses.replace(qwen.checkpoint)
    plan = planned(qwen, "bf16")
    moves = [dataclasses.replace(move, shape=(*move.shape[:-1], 33)) for move in plan.moves]
    parameters = loading.skeleton(dict(plan.config))
    with pytest.raises(RecipeIneffective, match="variant mxfp4 would quantize nothing: 33 columns"):
        step._variant(VARIANTS["mxfp4"], odd, moves, parameters, text_only=False)


def test_an_order_that_the_catalogue_does_not_know_is_refused(workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/v5")
    layout = dataclasses.replace(source.layout, order="shuffled")
    with pytest.raises(UnknownLayout, match="'shuffled'"):
        plan(source.checkpoint, layout, ["bf16"], working_bytes=1 << 20)


def test_an_interleaved_order_takes_every_second_row(workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/v5")
    layout = dataclasses.replace(source.layout, order="interleaved")
    made = plan(source.checkpoint, layout, ["bf16"], working_bytes=1 << 20)
    assert {move.view for move in made.moves if move.view} == {(take(0, 256, 2),), (take(1, 256, 2),)}


def test_an_unknown_variant_is_wrong_usage_and_the_hint_lists_them_all(qwen: Source) -> None:
    with pytest.raises(WrongUsage, match=r"'5.5bit'") as caught:
        planned(qwen, "5.5bit")
    assert all(name in str(caught.value.hint) for name in VARIANTS)


@pytest.mark.parametrize("name", ["qwen3_moe/bf16", "qwen3_moe/hub"])
@pytest.mark.parametrize("variant", ["4bit", "moe-3bit", "nvfp4"])
def test_the_predicted_bits_are_eight_times_bytes_over_elements(
    name: str, variant: str, workshop: Workshop
) -> None:
    made = planned(workshop.source(name), variant)
    elements = sum(int(np.prod(move.shape)) for move in made.moves)
    (planned_variant,) = made.variants
    assert planned_variant.bits_per_weight == pytest.approx(8 * planned_variant.nbytes / elements, abs=1e-4)
    assert made.disk_bytes == planned_variant.nbytes


def test_what_stays_unquantized_is_listed_with_the_reason(workshop: Workshop) -> None:
    (variant,) = planned(workshop.source("qwen3_moe/hub"), "4bit").variants
    assert {drop.name for drop in variant.unquantized} == {f"model.layers.{i}.mlp.gate.weight" for i in range(2)}
    (variant,) = planned(workshop.source("qwen3_moe/bf16"), "4bit").variants
    assert variant.unquantized == ()


def test_a_plan_crosses_a_process_boundary(qwen: Source) -> None:
    made = planned(qwen, "bf16", "4bit", "nvfp4")
    assert Plan.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_a_config_that_claims_a_million_layers_is_refused_before_a_model_is_built(
    qwen: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(config: Any) -> Any:
        raise AssertionError(f"a model of {config['num_hidden_layers']} layers was built")

    monkeypatch.setattr(loading, "skeleton", built)
    with pytest.raises(IncompleteCover):
        replan(qwen, num_hidden_layers=1_000_000)


@pytest.mark.parametrize(
    ("key", "value"), [("num_attention_heads", 0), ("decoder_sparse_step", 0), ("head_dim", 0)]
)
def test_a_number_that_no_model_can_have_is_an_error_of_the_tree(qwen: Source, key: str, value: int) -> None:
    with pytest.raises(HubbotError):
        replan(qwen, **settings(key, value))


def test_the_fixture_is_a_whole_checkpoint(qwen: Source) -> None:
    assert isinstance(qwen.checkpoint, Checkpoint)
    assert replan(qwen).drops == ()
