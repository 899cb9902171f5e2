import numpy as np
import pytest

from hubbot.engine import bit_packing
from tests.packers import awq_words
from tests.packers import words as packed


def codes(*shape: int, bits: int = 4) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(bits).integers(0, 1 << bits, shape).astype(np.uint8)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("shape", [(1, 32), (7, 64), (2, 3, 96)])
def test_words_along_columns_come_apart_lowest_bits_first(bits: int, shape: tuple[int, ...]) -> None:
    wanted = codes(*shape, bits=bits)
    assert np.array_equal(bit_packing.along_columns(packed(wanted, bits), bits), wanted)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_words_along_rows_come_apart_lowest_bits_first(bits: int) -> None:
    wanted = codes(64, 5, bits=bits)
    raw = np.ascontiguousarray(packed(np.ascontiguousarray(wanted.T), bits).T)
    assert np.array_equal(bit_packing.along_rows(raw, bits), wanted)


def test_awq_words_hold_outputs_0_2_4_6_1_3_5_7() -> None:
    one = np.array([[0x75316420]], np.uint32).view(np.int32)
    assert bit_packing.in_awq_order(one).tolist() == [[0, 1, 2, 3, 4, 5, 6, 7]]
    wanted = codes(9, 40)
    assert np.array_equal(bit_packing.in_awq_order(awq_words(wanted)), wanted)


def test_signed_bytes_become_unsigned_with_half_of_the_range_added() -> None:
    assert bit_packing.from_signed_bytes(np.array([-128, -1, 0, 127], np.int8)).tolist() == [0, 127, 128, 255]
