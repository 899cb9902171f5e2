"""Every form of experts turned into every other, and back, without one bit changed; what is missing is named."""

import functools
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbot.catalogue.experts.expert_layouts import BLOCKS, TARGETS, read_names
from hubbot.catalogue.experts.relayout_forms import OF_SOME
from hubbot.catalogue.experts.relayout_moves import rearrangement
from hubbot.checkpoints import Checkpoint
from hubbot.errors import IncompleteCover
from hubbot.steps.classify import classify
from tests.checkpoints_on_disk import read_folder
from tests.reference.checkpoints import case, write
from tests.relaid import looked, matrices, relaid, same, stored, write_checkpoint

FORMS = tuple(key for key in TARGETS if key not in OF_SOME)
LAYERS_AT = (
    "layers", "model.layers", "model.language_model.layers", "backbone.layers", "transformer.blocks",
    "model.transformer.blocks", "model.vision_tower.layers",
)  # fmt: skip
# One of each stacking, with and without a gate.
KINDS = ("qwen3_moe/orig", "mixtral/orig", "nemotron_h/hub", "qwen3_moe/v5", "granitemoe/hub", "gpt_oss/hub")
FIXED = settings(max_examples=50, deadline=None, derandomize=True, database=None)


@FIXED
@given(
    source=st.sampled_from(FORMS),
    to=st.sampled_from(FORMS),
    model_type=st.sampled_from(["qwen3_moe", "mixtral", "gpt_oss"]),
    layers_at=st.sampled_from(LAYERS_AT),
    block=st.sampled_from(["", *BLOCKS]),
    dtype=st.sampled_from(["F32", "BF16", "F16"]),
    layers=st.integers(1, 3),
    experts=st.integers(1, 5),
    width=st.integers(1, 9),
    hidden=st.integers(1, 9),
    shards=st.integers(1, 3),
    working_bytes=st.integers(1, 2000),
    shard_bytes=st.integers(64, 4000),
)
def test_any_form_becomes_any_other_and_comes_back(
    source: str, to: str, model_type: str, layers_at: str, block: str, dtype: str, layers: int, experts: int,
    width: int, hidden: int, shards: int, working_bytes: int, shard_bytes: int,
) -> None:  # fmt: skip
    made = matrices(layers=layers, experts=experts, width=width, hidden=hidden, dtype=dtype, seed=width)
    root = Path(tempfile.mkdtemp())
    try:
        order = "interleaved" if model_type == "gpt_oss" else "concatenated"
        kept = partial(
            stored, made, model_type=model_type, dtype=dtype, order=order, layers_at=layers_at, block=block
        )
        before = kept(source)
        write_checkpoint(root / "a", before, model_type=model_type, experts=experts, shards=shards)
        relaid(root / "a", to, root / "b", working_bytes=working_bytes, shard_bytes=shard_bytes)
        assert same(read_folder(root / "b"), kept(to))
        relaid(root / "b", source, root / "c", working_bytes=working_bytes, shard_bytes=shard_bytes)
        assert same(read_folder(root / "c"), before)
    finally:
        shutil.rmtree(root)


@functools.cache
def headers(kind: str) -> Checkpoint:
    with tempfile.TemporaryDirectory() as folder:
        return looked(write(case(kind), Path(folder)))


@settings(FIXED, max_examples=80)
@given(kind=st.sampled_from(KINDS), number=st.integers(0, 10_000))
def test_one_missing_tensor_is_named_by_convert_and_relayout_in_the_same_words(kind: str, number: int) -> None:
    whole = headers(kind)
    known, _ = read_names(whole.tensors)
    gone = known[number % len(known)]
    torn = replace(whole, tensors={name: info for name, info in whole.tensors.items() if name != gone.name})
    expert = "" if gone.expert is None else f", expert {gone.expert}"
    told = f"layer {gone.layer}{expert} lacks {gone.projection}{' bias' * gone.is_bias} (expected"
    for user in (classify, lambda checkpoint: rearrangement(checkpoint, "per_expert")):
        with pytest.raises(IncompleteCover) as caught:
            user(torn)
        assert told in caught.value.message
        assert caught.value.where == gone.name
