"""Arrays of one block never share bytes, and those of an ended block are given anew."""

import numpy as np

from hubbot.checks.readers.reused_memory import ReusedMemory

BYTES, WORDS = np.dtype(np.uint8), np.dtype(np.uint32)


def test_arrays_that_are_in_use_share_no_bytes() -> None:
    memory = ReusedMemory()
    with memory.again():
        first = memory.array(4, WORDS)
        first[:] = 7
        with memory.again():
            inner = memory.array(100, BYTES)
            inner[:] = 255
        again = memory.array(50, WORDS)
        again[:] = 9
        assert first.tolist() == [7] * 4
        assert (first.shape, inner.shape, again.shape) == ((4,), (100,), (50,))
        assert (first.dtype, again.dtype) == (WORDS, WORDS)


def test_what_was_given_back_is_given_again_and_grows_where_it_is_too_small() -> None:
    memory = ReusedMemory()
    with memory.again():
        one = memory.array(10, WORDS)
    with memory.again():
        assert np.shares_memory(one, memory.array(5, WORDS))
    with memory.again():
        assert not np.shares_memory(one, memory.array(11, WORDS))
