"""Twins of every reference: the shapes that are worked out backwards are those that somebody really stored."""

import math
import re
from collections.abc import Iterable
from dataclasses import replace

import pytest

from hubbot.catalogue import packings
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.catalogue.tensors import drop_reason, without_drops
from hubbot.checkpoints import Checkpoint
from hubbot.checks.tracer.numbered_twin import DROPPED_AXIS, SHARD, twin_of
from hubbot.errors import ConfigUnresolved, IncompleteCover
from hubbot.plans import Layout
from hubbot.steps.classify import classify
from tests.checkpoints_on_disk import CONVERTIBLE, Workshop, row_of


def logical(checkpoint: Checkpoint) -> Checkpoint:
    return packings.unpacked(checkpoint).checkpoint


@pytest.mark.parametrize("name", [made.name for made in CONVERTIBLE])
def test_a_twin_of_the_sources_own_size_has_its_very_tensors(workshop: Workshop, name: str) -> None:
    source = workshop.source(name).checkpoint
    twin = twin_of(source, row_of(source.config, source.tensors), small=1 << 40)
    # Experts that only see are left out of the conversion, and so of the twin.
    reasons = {name: drop_reason(name, source.config) or "" for name in logical(source).tensors}
    expected = {name: info.shape for name, info in logical(source).tensors.items()}
    assert twin.shapes == {
        name: shape for name, shape in expected.items() if not reasons[name].startswith("an expert")
    }
    tables = {name for name, info in logical(source).tensors.items() if info.dtype == "I64"}
    for tensor in twin.checkpoint.tensors.values():
        assert tensor.dtype == ("I64" if tensor.name in tables else "F32")
    assert "quantization_config" not in twin.checkpoint.config


def grown(checkpoint: Checkpoint, factor: int) -> Checkpoint:
    """The checkpoint with `factor` times the vocabulary: too large to be its own twin, and otherwise the same."""
    config = {**checkpoint.config, "vocab_size": checkpoint.config["vocab_size"] * factor}
    tensors = {
        name: replace(info, shape=(info.shape[0] * factor, *info.shape[1:]))
        if name in {"model.embed_tokens.weight", "lm_head.weight"}
        else info
        for name, info in checkpoint.tensors.items()
    }
    return replace(checkpoint, config=config, tensors=tensors)


def unnumbered(names: Iterable[str]) -> set[str]:
    """Names without their layers' numbers: a twin may have fewer layers, and what follows them moves up."""
    return {re.sub(r"layers\.\d+", "layers", name) for name in names}


def comparable(layout: Layout) -> Layout:
    """What a twin must keep: everything but how many layers there are."""
    return replace(layout, evidence=(), layers=0, moe_layers=())


@pytest.mark.parametrize("name", ["qwen3_moe/hub", "deepseek_v3/mtp", "glm4_moe/mtp", "mixtral/orig"])
def test_a_twin_of_a_large_source_is_small_and_of_the_same_kind(workshop: Workshop, name: str) -> None:
    source = grown(workshop.source(name).checkpoint, 1000)
    twin = twin_of(source, row_of(source.config, source.tensors))
    assert sum(math.prod(shape) for shape in twin.shapes.values()) < 1_500_000
    assert unnumbered(twin.shapes) == unnumbered(source.tensors)
    found, wanted = classify(replace(twin.checkpoint, repo=source.repo)), workshop.source(name).layout
    assert found.moe_layers
    assert comparable(found) == comparable(wanted)


@pytest.mark.parametrize("name", ["deepseek_v3/mtp", "qwen3_vl_moe/orig", "longcat_flash/orig"])
def test_what_is_dropped_is_in_the_twin_and_hardly_larger_than_its_name(workshop: Workshop, name: str) -> None:
    source = workshop.source(name).checkpoint
    twin = twin_of(source, row_of(source.config, source.tensors), small=0)
    assert twin.drops
    assert unnumbered(twin.drops) == unnumbered(without_drops(source)[1])
    assert all(axis <= DROPPED_AXIS for dropped in twin.drops for axis in twin.shapes[dropped])


def test_heads_beyond_the_layers_that_stay_are_counted_on_from_there(workshop: Workshop) -> None:
    source = workshop.source("deepseek_v3/mtp").checkpoint
    # Ten more layers of the kind that the last one is, and the head behind them.
    more = {name: info for name, info in source.tensors.items() if ".layers.2." in name}
    head = {name: info for name, info in source.tensors.items() if ".layers.3." in name}
    tensors = {name: info for name, info in source.tensors.items() if name not in head}
    for layer in range(3, 12):
        tensors |= {name.replace("layers.2.", f"layers.{layer}."): info for name, info in more.items()}
    tensors |= {name.replace("layers.3.", "layers.12."): info for name, info in head.items()}
    tensors = {name: replace(info, name=name) for name, info in tensors.items()}
    deep = replace(source, config={**source.config, "num_hidden_layers": 12}, tensors=tensors)
    twin = twin_of(deep, BY_MODEL_TYPE["deepseek_v3"], small=0)
    assert twin.checkpoint.config["num_hidden_layers"] == 2
    assert {name for name in twin.drops if ".layers." in name} == {n.replace(".3.", ".2.", 1) for n in head}


def test_the_stacks_that_end_with_zero_experts_are_known(workshop: Workshop) -> None:
    source = workshop.source("longcat_flash/v5").checkpoint
    twin = twin_of(source, BY_MODEL_TYPE["longcat_flash"], small=0)
    assert twin.idle == {f"model.layers.{layer}.mlp.experts.gate_up_proj" for layer in (0, 1)}


def test_zero_experts_beyond_those_of_the_twin_are_left_out(workshop: Workshop) -> None:
    source = grown(workshop.source("longcat_flash/hub").checkpoint, 4000)
    real, many = source.config["n_routed_experts"], 8
    tensors = dict(source.tensors)
    for name, info in source.tensors.items():
        if ".experts.0." in name:
            for number in range(real, real + many):
                other = name.replace(".experts.0.", f".experts.{number}.")
                tensors[other] = replace(info, name=other)
    source = replace(source, config={**source.config, "zero_expert_num": many}, tensors=tensors)
    twin = twin_of(source, BY_MODEL_TYPE["longcat_flash"])
    zeros = twin.checkpoint.config["zero_expert_num"]
    assert zeros < many
    numbers = {int(found[1]) for name in twin.shapes if (found := re.search(r"experts\.(\d+)\.", name))}
    assert numbers == set(range(real + zeros))


def test_a_twin_lies_in_one_file_without_gaps(workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/hub").checkpoint
    infos = list(twin_of(source, BY_MODEL_TYPE["qwen3_moe"]).checkpoint.tensors.values())
    assert {info.shard for info in infos} == {SHARD}
    assert [info.start for info in infos] == [0, *(info.end for info in infos[:-1])]
    assert all(info.nbytes == 4 * info.elements for info in infos)


def test_a_source_whose_config_cannot_be_resolved_has_no_twin(workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/hub").checkpoint
    config = {key: value for key, value in source.config.items() if key != "moe_intermediate_size"}
    with pytest.raises(ConfigUnresolved):
        twin_of(replace(source, config={**config, "a_switch": True}), BY_MODEL_TYPE["qwen3_moe"])


def test_a_tensor_that_no_parameter_holds_is_named(workshop: Workshop) -> None:
    source = workshop.source("qwen3_moe/hub").checkpoint
    extra = replace(source.tensors["model.norm.weight"], name="model.layers.0.extra.weight")
    with pytest.raises(IncompleteCover, match=r"model\.layers\.0\.extra\.weight"):
        twin_of(replace(source, tensors={**source.tensors, extra.name: extra}), BY_MODEL_TYPE["qwen3_moe"])
