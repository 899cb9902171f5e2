"""Latents whose norm mlx-lm computes with another epsilon: scaled by a power of two, which the referee knows."""

from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints_on_disk import (
    Workshop,
    decoded,
    floats,
    judged,
    look,
    read_folder,
    relative,
    rewrite,
    stock_model,
)
from tests.reference.checkpoints import case, tensors


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("longcat_flash/orig", 4),
        ("glm4_moe_lite/orig", 4),
        ("kimi_linear/epsilon/orig", 128),
        ("bailing_hybrid/epsilon/orig", 128),
    ],
)
def test_only_the_rows_of_the_latent_are_scaled_and_by_a_power_of_two(
    name: str, factor: float, workshop: Workshop
) -> None:
    made, source = read_folder(workshop.artifact(name, "fp32")), tensors(case(name))
    rank = case(name).config["kv_lora_rank"]
    found = [parameter for parameter in made if parameter.endswith("kv_a_proj_with_mqa.weight")]
    assert found
    for parameter in found:
        stem = parameter if parameter in source else parameter.replace(".attention.", ".self_attn.")
        held, whole = floats(made[parameter]), source[stem]
        assert np.array_equal(held[:rank], factor * whole[:rank])
        assert np.array_equal(held[rank:], whole[rank:])


@pytest.mark.parametrize("name", ["longcat_flash/orig", "kimi_linear/epsilon/orig", "bailing_hybrid/epsilon/orig"])
def test_the_model_is_as_near_to_transformers_as_one_whose_epsilon_is_the_same(
    name: str, workshop: Workshop
) -> None:
    prompt, _ = decoded(stock_model(workshop.artifact(name, "fp32")), case(name))
    assert relative(prompt, case(name).logits) < 6e-6


def test_the_referee_refuses_a_latent_that_is_not_scaled(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy("longcat_flash/orig", "fp32", tmp_path / "artifact")
    stored = read_folder(folder)
    name = next(name for name in stored if name.endswith("q_a_proj.weight"))
    dtype, bits = stored[name]
    stored[name] = (dtype, (floats((dtype, bits)) / 4).view(np.uint32))
    rewrite(folder, stored)
    report = judged(look(workshop.source("longcat_flash/orig").folder), folder)
    assert any(name in failure.subject for failure in report.failures)
