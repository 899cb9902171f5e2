"""Every form of experts turned into every other, and back, without one bit changed."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoints_on_disk import read_folder
from tests.relaid import matrices, relaid, same, stored, write_checkpoint

FORMS = ("per_expert", "stacked", "stacked_fused", "stacked_fused_transposed")
FIXED = settings(max_examples=50, deadline=None, derandomize=True, database=None)


@FIXED
@given(
    source=st.sampled_from(FORMS),
    to=st.sampled_from(FORMS),
    model_type=st.sampled_from(["qwen3_moe", "mixtral", "gpt_oss"]),
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
    source: str, to: str, model_type: str, dtype: str, layers: int, experts: int, width: int, hidden: int,
    shards: int, working_bytes: int, shard_bytes: int,
) -> None:  # fmt: skip
    made = matrices(layers=layers, experts=experts, width=width, hidden=hidden, dtype=dtype, seed=width)
    root = Path(tempfile.mkdtemp())
    try:
        order = "interleaved" if model_type == "gpt_oss" else "concatenated"
        before = stored(made, source, model_type=model_type, dtype=dtype, order=order)
        write_checkpoint(root / "a", before, model_type=model_type, experts=experts, shards=shards)
        relaid(root / "a", to, root / "b", working_bytes=working_bytes, shard_bytes=shard_bytes)
        assert same(read_folder(root / "b"), stored(made, to, model_type=model_type, dtype=dtype, order=order))
        relaid(root / "b", source, root / "c", working_bytes=working_bytes, shard_bytes=shard_bytes)
        assert same(read_folder(root / "c"), before)
    finally:
        shutil.rmtree(root)
