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
