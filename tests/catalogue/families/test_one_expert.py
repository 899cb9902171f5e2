"""What a runtime's class makes of the weight of a single chosen expert: measured, for every row."""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_unflatten

from hubbot.catalogue import resolution, runtimes
from hubbot.catalogue.configs.spellings import SYNONYMS, TOP_K
from hubbot.catalogue.families import FAMILIES, Family
from hubbot.catalogue.variants.roles import role_of
from hubbot.runtime import loading
from tests.checkpoints_on_disk import CONVERTIBLE, relative
from tests.reference.checkpoints import Floats

CONFIGS = {made.model_type: made.config for made in reversed(CONVERTIBLE) if made.model == "base"}
# The fields of runtime classes that switch renormalisation on.
SWITCHES = {*SYNONYMS["norm_topk_prob"], "route_norm", "renormalise_top_k"}


def of_one_expert(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with one expert a token, renormalised where it has a switch for that."""
    changed = dict(config)
    for key, value in config.items():
        if isinstance(value, Mapping):
            changed[key] = of_one_expert(value)
        elif key in TOP_K:
            changed[key] = 1
        elif key in SWITCHES:
            changed[key] = True
    return changed


def answers(model: Any) -> tuple[Floats, Floats]:
    """Logits with the router as it is and at half its size: the same experts, at other probabilities."""
    generator = np.random.default_rng(0)
    values: dict[str, mx.array] = {}
    for name, array in tree_flatten(model.parameters()):
        drawn = mx.array(generator.normal(0, 0.3, array.shape).astype(np.float32))
        if mx.issubdtype(array.dtype, mx.integer):
            drawn = mx.zeros_like(array)
        elif name.endswith(("correction_bias", "expert_bias", "router_bias")):
            drawn = mx.zeros(array.shape)
        elif role_of(name) == "norm":
            drawn = mx.ones(array.shape)
        values[name] = drawn
    given = []
    for factor in (1.0, 0.5):
        scaled = {
            name: value * factor if role_of(name) == "router" and value.dtype == mx.float32 else value
            for name, value in values.items()
        }
        model.update(tree_unflatten(list(scaled.items())))
        given.append(np.array(model(mx.array([[3, 5, 7, 11, 13, 17]])).astype(mx.float32)))
    return given[0], given[1]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_a_row_says_what_its_class_makes_of_a_single_experts_weight(family: Family) -> None:
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None
    limit = next((family.limits[key] for key in TOP_K if key in family.limits), None)
    if limit is not None and 1 not in limit.values:
        pytest.skip(f"one expert a token is refused: {limit.reason}")
    config = of_one_expert(resolution.resolve(CONFIGS[family.model_type], family, fields).config)
    with mx.stream(mx.cpu):
        strong, weak = answers(loading.build(config))
    assert (relative(strong, weak) < 1e-4) == family.renormalises_one_expert
