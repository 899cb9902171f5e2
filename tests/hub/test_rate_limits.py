"""Rate-limit headers are read within bounds, whatever a Hub or a proxy writes into them."""

import pytest

from hubbot.hub.rate_limits import LONGEST_PAUSE_SECONDS, LONGEST_WINDOW_SECONDS, RateLimit, pause, read_limit


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        ({"ratelimit": '"api";r=12;t=55'}, RateLimit(left=12, seconds=55.0, quota=None)),
        (
            {"ratelimit": '"api";r=12;t=55', "ratelimit-policy": '"fixed window";"api";q=1000;w=300'},
            RateLimit(left=12, seconds=55.0, quota=1000),
        ),
        ({"ratelimit": '"a";r=9;t=5, "b";r=2;t=50'}, RateLimit(left=2, seconds=50.0, quota=None)),
        (
            {"ratelimit": '"api";r=12;t=9', "ratelimit-policy": '"api";q=3'},
            RateLimit(left=12, seconds=9, quota=None),
        ),
        ({"ratelimit": '"api";r=1;t=999999999999'}, RateLimit(left=1, seconds=LONGEST_WINDOW_SECONDS, quota=None)),
        (
            {"ratelimit": '"api";r=' + "9" * 300 + ";t=1"},
            RateLimit(left=10**12, seconds=1.0, quota=None),
        ),
        ({}, None),
        ({"ratelimit": '"api";r=-1;t=55'}, None),
        ({"ratelimit": '"api";r=nan;t=inf'}, None),
        ({"ratelimit": '"api";r=\uff11\uff12;t=5'}, None),
        ({"ratelimit": '"api";r=1e3;t=5'}, None),
        ({"ratelimit": "no limits at all"}, None),
        ({"ratelimit": ";" * 5000}, None),
    ],
)
def test_a_limit_is_read_or_left_alone(headers: dict[str, str], limit: RateLimit | None) -> None:
    assert read_limit(headers) == limit


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "9" * 50}, LONGEST_PAUSE_SECONDS),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
        (
            {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT", "Date": "Fri, 27 Nov 2026 10:00:00 GMT"},
            LONGEST_PAUSE_SECONDS,
        ),
        (
            {"Retry-After": "Fri, 27 Nov 2026 10:00:09 GMT", "Date": "Fri, 27 Nov 2026 10:00:00 GMT"},
            10.0,
        ),
        (
            {"Retry-After": "Fri, 27 Nov 2020 10:00:09 GMT", "Date": "Fri, 27 Nov 2026 10:00:00 GMT"},
            1.0,
        ),
        ({"RateLimit": '"api";r=5;t=55'}, None),
        ({"RateLimit": '"api";r=0;t=86400000'}, LONGEST_PAUSE_SECONDS),
    ],
)
def test_no_pause_is_believed_beyond_six_hours(headers: dict[str, str], seconds: float | None) -> None:
    assert pause(headers) == seconds
