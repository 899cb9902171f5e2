"""DeepSeek-V4's class in other shapes than the references' answers as transformers, whole and with its cache."""

from itertools import combinations, pairwise
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache

from hubbot.catalogue import resolution, runtimes
from hubbot.runtime.models import deepseek_v4
from tests.checkpoints_on_disk import relative, row_of
from tests.reference.checkpoints import Floats
from tests.reference.deepseek_v4_shapes import BASE, RECORDED, SHAPES, TOKENS, ids, shape, weight

CUTS = {
    "whole": [0, TOKENS],
    "token by token": list(range(TOKENS + 1)),
    "in pieces": [0, 3, 4, 13, 30, 31, TOKENS],
}


def model(config: dict[str, Any]) -> deepseek_v4.Model:
    """The class by the config that hubbot writes for this one, with the weights of its name."""
    family = row_of({**config, "model_type": "deepseek_v4"})
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None
    written = resolution.resolve({**config, "model_type": "deepseek_v4"}, family, fields).config
    made = deepseek_v4.Model(deepseek_v4.ModelArgs.from_dict(written))
    made.load_weights(
        [(name, parameter(config, name, array.shape)) for name, array in tree_flatten(made.parameters())]
    )
    return made


def parameter(config: dict[str, Any], name: str, size: tuple[int, ...]) -> mx.array:
    """The parameter of the class, cut out of transformers', where that is another."""
    if ".switch_mlp." in name:
        count, rows, columns = size
        stem, projection = name.removesuffix("_proj.weight").split("switch_mlp.")
        if projection == "down":
            return mx.array(weight(config, f"{stem}experts.down_proj", size))
        both = weight(config, f"{stem}experts.gate_up_proj", (count, 2 * rows, columns))
        return mx.array(np.split(both, 2, axis=1)[projection == "up"])
    if "o_a_proj" in name:
        return mx.array(weight(config, name, (size[0] * size[1], size[2])).reshape(size))
    found = weight(config, name, size)
    return mx.array(found.astype(np.int64) if name.endswith("tid2eid") else found)


def answer(made: deepseek_v4.Model, places: list[int]) -> Floats:
    """The logits of the text fed in these pieces to one cache."""
    tokens, cache = mx.array(ids()), make_prompt_cache(made)
    return np.concatenate([np.array(made(tokens[:, a:b], cache))[0] for a, b in pairwise(places)])


@pytest.mark.parametrize("name", SHAPES)
def test_another_shape_answers_as_transformers_however_the_text_is_cut(name: str) -> None:
    expected = np.load(RECORDED)[name]
    with mx.stream(mx.cpu):
        made = model(shape(name))
        for told, places in CUTS.items():
            assert relative(answer(made, places), expected) < 1e-5, told


def test_every_shape_answers_otherwise() -> None:
    # All entries are chosen in both of these.
    found = {
        name: value for name, value in np.load(RECORDED).items() if name != "as many chosen as there are entries"
    }
    for (one, here), (other, there) in combinations(found.items(), 2):
        assert relative(here, there) > 1e-3, (one, other)


def test_entries_that_an_indexer_scores_alike_are_chosen_alike_however_the_text_is_cut() -> None:
    # One head scores half of all entries zero. transformers leaves to torch.topk which of those a query sees, and
    # with its cache sees others; mlx takes the earliest.
    tokens = mx.array(np.resize(ids(), (1, 8 * TOKENS)))
    with mx.stream(mx.cpu):
        made = model({**BASE, "index_n_heads": 1, "index_topk": 48})
        whole = np.array(made(tokens))
        for places in ([0, 300, 310, 8 * TOKENS], [0, 250, *range(251, 8 * TOKENS + 1)]):
            cache = make_prompt_cache(made)
            parts = [np.array(made(tokens[:, a:b], cache)) for a, b in pairwise(places)]
            assert relative(np.concatenate(parts, axis=1), whole) < 1e-5
