import numpy as np
import pytest

from hubbot.checks.readers.decoding import codes
from hubbot.checks.readers.packed_words import unpack


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_every_code_is_the_one_that_the_slow_way_reads(bits: int) -> None:
    packed = np.random.default_rng(bits).integers(0, 2**32, (2, 3, 4 * bits), dtype=np.uint32)
    found = unpack(packed, bits)
    assert found.dtype == np.uint8
    assert np.array_equal(found, codes(packed, bits))


def test_a_view_that_is_not_contiguous_is_read_too() -> None:
    packed = np.arange(64, dtype=np.uint32).reshape(4, 16)[:, ::2]
    assert np.array_equal(unpack(packed, 4), codes(packed, 4))
