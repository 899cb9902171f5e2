"""Whatever finite numbers a group holds: what mx.quantize makes of it is right, and one code more is not."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hubbot.checks.values import affine_codes, fp4_fp8
from tests.checks.quantized import affine_groups, micro_groups
from tests.reference.checkpoints import Floats

FIXED = settings(max_examples=300, deadline=None, derandomize=True, database=None)
MODES = (("mxfp4", 4, 32, False), ("mxfp8", 8, 32, False), ("nvfp4", 4, 16, True))
numbers = st.floats(-1e4, 1e4, width=32) | st.floats(-0.125, 0.125, width=32) | st.sampled_from([0.0, 1.0, -1.0])
groups = hnp.arrays(np.float32, (2, 64), elements=numbers)


@FIXED
@given(groups, st.sampled_from([2, 3, 4, 5, 6, 8]), st.sampled_from(["F32", "BF16", "F16"]))
def test_affine_groups_are_explained_and_a_changed_code_is_not(source: Floats, bits: int, dtype: str) -> None:
    made = affine_groups(source, bits=bits, dtype=dtype)
    assert not affine_codes.unexplained(made, bits=bits, dtype=dtype)[0].any()
    # The end of larger magnitude has code 0, and nothing stands near the middle of the first step there.
    column = int(np.abs(made.weights[0]).argmax())
    codes = made.codes.copy()
    codes[0, column] ^= 1
    if np.ptp(made.weights[0]) > 1e-3:
        assert affine_codes.unexplained(replace(made, codes=codes), bits=bits, dtype=dtype)[0].tolist() == [
            True,
            False,
        ]


@FIXED
@given(groups, st.sampled_from(MODES), st.sampled_from(["F32", "BF16"]))
def test_small_floats_are_explained(source: Floats, mode: tuple[str, int, int, bool], dtype: str) -> None:
    name, bits, width, whole = mode
    values = source.reshape(-1, width)
    largest = np.abs(values).max(axis=1, keepdims=True)
    alive = np.where(largest > fp4_fp8.SMALLEST, values, np.float32(0))
    made = micro_groups(alive, mode=name, bits=bits, dtype=dtype, whole=whole)
    assert not fp4_fp8.judge(made, mode=name, bits=bits).wrong.any()
