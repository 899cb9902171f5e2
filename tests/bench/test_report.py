"""The README's section tells ratios from one run, and what was not measured."""

from typing import Any

import pytest

from tests.bench.report import COLD, ROWS, WARM, render


def results(*caches: str) -> dict[str, Any]:
    """Two turns, in which hubbot takes 2 s and 3 s, and each run of mlx_lm.convert 8 s and 9 s."""

    def turn(name: str, number: int) -> dict[str, Any]:
        return {
            "wall_seconds": (2.0 if name.startswith("hubbot") else 8.0) + number,
            "cpu_seconds": 1.0,
            "peak_memory_bytes": 200 << 20,
            "bytes_read": 4.4e9,
            "bytes_written": 1e9,
            "stages": {"read": 1.0, "write": 1.2, "stream": 1.9} if name.startswith("hubbot") else {},
        }

    names = [f"{name} {cache}" for _, _, runs in ROWS for name in runs for cache in caches]
    return {
        "machine": "2 cores, of a test",
        "gpu": None,
        "sizes": {"small": 4.4e9, "large": 8.1e9, "fp8": 4.1e9},
        "runs": {name: [turn(name, number) for number in range(2)] for name in names},
        "parts": {
            "arithmetic": {"lanes": 2, "one": 3.0, "all": 6.0, "numpy_because": None},
            "behaviour": {"4bit": 41},
        },
    }


def test_ratios_are_those_of_each_turn() -> None:
    told = render(results(COLD, WARM))
    assert "4bit of 8 GB: 3.50 (3.00 to 4.00) out of the cache, 3.50 (3.00 to 4.00) in it" in told
    # Four runs of 8 s, then of 9 s.
    assert "four variants in one pass: 14.00 (12.00 to 16.00) out of the cache" in told
    assert "longest stage of 4bit out of the cache: write, 50 % of the wall time" in told
    assert "3.0 GB/s on one core, 2.00 times that on 2" in told


@pytest.mark.parametrize(
    "words", ["values gate: not measured", "behaviour gate: 4bit 41", "a tiny job: not measured"]
)
def test_what_was_not_measured_is_told(words: str) -> None:
    assert f"- {words}\n" in render(results(COLD, WARM))


def test_a_source_that_the_cache_does_not_hold_is_told() -> None:
    told = render(results(COLD))
    assert "not measured in it: 8 GB do not stay there" in told
    assert "GPU: none here, so not measured" in told


def test_the_section_fits_on_one_screen() -> None:
    assert len(render(results(COLD, WARM)).splitlines()) <= 32
