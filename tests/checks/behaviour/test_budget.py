import pytest

from hubbot.checks.behaviour.budget import affordable_tokens

BILLION = 1e9


@pytest.mark.parametrize(
    ("rate", "seconds", "tokens"),
    [(200 * BILLION, 3600, 2048), (4 * BILLION, 3600, 512), (20 * BILLION, 3600, 2048), (20 * BILLION, 1200, 512)],
)
def test_a_slow_device_reads_fewer_tokens_of_a_large_model(rate: float, seconds: float, tokens: int) -> None:
    assert affordable_tokens(2048, weights=3.3 * BILLION, rate=rate, seconds=seconds) == tokens


def test_one_window_is_read_even_where_it_may_take_too_long() -> None:
    assert affordable_tokens(2048, weights=1e12, rate=1e9, seconds=1) == 512
