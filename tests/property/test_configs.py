import contextlib
import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbot.checkpoints import Checkpoint
from hubbot.errors import HubbotError
from hubbot.folders import Folder
from hubbot.steps.classify import classify
from hubbot.steps.inspect import inspect
from hubbot.steps.plan import plan
from tests.reference.checkpoints import case, write

NAMES = ("qwen3_moe/hub", "mixtral/orig")
# Divisors and counts: what a hostile value does to them is told, one by one, in the tests of steps and device.
KNOWN_TO_ESCAPE = {
    "num_hidden_layers", "num_experts", "num_local_experts", "num_attention_heads", "num_key_value_heads",
    "head_dim", "decoder_sparse_step", "moe_intermediate_size", "intermediate_size", "hidden_size",
}  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["rope_type", "type", "factor", "rope_theta", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@functools.cache
def checkpoint(name: str) -> Checkpoint:
    with tempfile.TemporaryDirectory() as folder:
        return inspect(Folder(write(case(name), Path(folder))))


@functools.cache
def keys(name: str) -> list[str]:
    known = {*case(name).config, "rope_parameters", "rope_scaling", "sliding_window", "layer_types", "text_config"}
    return sorted(
        (known | {"quantization_config", "quantization", "partial_rotary_factor", "new"}) - KNOWN_TO_ESCAPE
    )


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_any_value_of_any_key_gives_a_plan_or_an_error_of_the_tree(name: str, data: st.DataObject) -> None:
    changes: dict[str, Any] = data.draw(
        st.dictionaries(st.sampled_from(keys(name)), values, min_size=1, max_size=2)
    )
    found = checkpoint(name)
    found = dataclasses.replace(found, config={**found.config, **changes})
    with contextlib.suppress(HubbotError):
        made = plan(found, classify(found), ["4bit"], working_bytes=1 << 20)
        assert {move.output for move in made.moves} == set(made.variants[0].encodings)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_any_tensor_lost_or_renamed_is_an_error_of_the_tree(name: str, data: st.DataObject) -> None:
    found = checkpoint(name)
    victim = data.draw(st.sampled_from(sorted(found.tensors)))
    tensors = {key: tensor for key, tensor in found.tensors.items() if key != victim}
    if data.draw(st.booleans()):
        new = data.draw(st.text(max_size=4)) + victim + data.draw(st.text(min_size=1, max_size=4))
        tensors[new] = dataclasses.replace(found.tensors[victim], name=new)
    broken = dataclasses.replace(found, tensors=tensors)
    with pytest.raises(HubbotError):
        plan(broken, classify(broken), ["bf16"], working_bytes=1 << 20)
