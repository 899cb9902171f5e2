"""What rate-limit headers say: the requests that are left, when there are more, and the pause that is asked for.

Nothing is believed beyond bounds, for a Hub or a proxy before it may say anything. It never waits. On the wire:
`RateLimit: "api";r=0;t=55`, `RateLimit-Policy: "fixed window";"api";q=1000;w=300`, and Retry-After (RFC 9110).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

# Quotas are for windows of five minutes; no longer one is believed, and no pause is longer than six hours.
LONGEST_WINDOW_SECONDS = 3600.0
LONGEST_PAUSE_SECONDS = 6 * 3600.0
_ASCII_NUMBER = re.compile(r"\d{1,400}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How many requests are `left` until there are more in `seconds`; `quota` is None where it is not told."""

    left: int
    seconds: float
    quota: int | None


def read_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """Return the tightest limit of an answer's headers, whose names are in lower case; None where none is told."""
    told = [_parameters(entry) for entry in headers.get("ratelimit", "").split(",")]
    whole = [entry for entry in told if {"r", "t"} <= entry.keys()]
    if not whole:
        return None
    tightest = min(whole, key=lambda entry: entry["r"])
    quotas = [_parameters(entry).get("q") for entry in headers.get("ratelimit-policy", "").split(",")]
    known = [quota for quota in quotas if quota is not None and quota >= tightest["r"]]
    return RateLimit(
        left=int(tightest["r"]),
        seconds=min(tightest["t"], LONGEST_WINDOW_SECONDS),
        quota=int(min(known)) if known else None,
    )


def pause(headers: Mapping[str, str]) -> float | None:
    """Return the pause that an answer asks for, in seconds, plus one for safety; None where it asks for none."""
    lower = {name.lower(): value for name, value in headers.items()}
    told = [_parameters(entry) for entry in lower.get("ratelimit", "").split(",")]
    waits = [entry["t"] for entry in told if "t" in entry and not entry.get("r")]
    seconds = max(waits) if waits else _after(lower)
    return None if seconds is None else min(seconds + 1, LONGEST_PAUSE_SECONDS)


def _after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "").strip()
    if _ASCII_NUMBER.fullmatch(value):
        return _bounded(value)
    # A date counts from the Hub's own clock; this machine's may be wrong.
    try:
        ends, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (ends - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _parameters(entry: str) -> dict[str, float]:
    """Return the numbers of `"name";a=1;b=2`; what is no whole number of zero or more is left out."""
    pairs = (part.partition("=") for part in entry.split(";"))
    return {
        name.strip(): _bounded(value.strip()) for name, _, value in pairs if _ASCII_NUMBER.fullmatch(value.strip())
    }


def _bounded(digits: str) -> float:
    # Longer ones are no counts, and would become infinite.
    return float(digits) if len(digits) <= 12 else 1e12
