"""For all tests of the Hub's client: xet's notes in a folder of this run, retries wait little, no telemetry."""

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
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


# Faults that are known and not mended yet: test, beginning of its parameters, reason. It goes with its fault.
KNOWN_FAULTS = (
    ("test_a_rate_limit_is_waited_for_as_long_as_the_hub_asks", "", "the bot pauses all jobs instead"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is known to fail, with the reason."""
    for item in items:
        name, _, parameters = item.name.partition("[")
        for test, beginning, reason in KNOWN_FAULTS:
            if name == test and parameters.startswith(beginning):
                item.add_marker(pytest.mark.xfail(reason=reason))
