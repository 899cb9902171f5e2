"""For all tests of the Hub's client: xet notes what it has sent in a folder of this run, retries wait little."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    folder = tempfile.mkdtemp(prefix="hubbot-xet-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["HF_XET_CACHE"] = folder
    os.environ["HF_XET_CLIENT_RETRY_BASE_DELAY"] = "10ms"


# Faults that are known and not mended yet: test, beginning of its parameters, reason. It goes with its fault.
KNOWN_FAULTS = (
    ("test_logits_are_finite_and_not_flat", "qwen3_omni_moe", "logits of a small range"),
    (
        "test_stock_mlx_lm_agrees_where_a_conversion_is_expected_and_only_there",
        "phimoe",
        "needs hubbot's own class",
    ),
    (
        "test_stock_mlx_lm_agrees_where_a_conversion_is_expected_and_only_there",
        "solar",
        "needs hubbot's own class",
    ),
    ("test_every_variant_loads_strictly_and_stays_near_the_reference", "2bit", "2 bits lose more"),
    ("test_every_variant_loads_strictly_and_stays_near_the_reference", "moe-2bit", "2 bits lose more"),
    ("test_every_row_is_read_under_its_former_letter_too", "", "stacked_in_moe never had a letter"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is known to fail, with the reason."""
    for item in items:
        name, _, parameters = item.name.partition("[")
        for test, beginning, reason in KNOWN_FAULTS:
            if name == test and parameters.startswith(beginning):
                item.add_marker(pytest.mark.xfail(reason=reason))
