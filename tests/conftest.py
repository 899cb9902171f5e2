"""For all tests of the Hub's client: xet's notes in a folder of this run, retries wait little, no telemetry."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        choices=("cpu", "gpu"),
        help="where MLX computes in the tests' own process; default: MLX's choice",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--device"):
        _choose_device(config.getoption("--device"))
    folder = tempfile.mkdtemp(prefix="hubbot-xet-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["HF_XET_CACHE"] = folder
    os.environ["HF_XET_CLIENT_RETRY_BASE_DELAY"] = "10ms"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Numpy's products in every worker on every core wait for each other most of the time.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")


def _choose_device(name: str) -> None:
    import mlx.core as mx  # noqa: PLC0415 - most tests do without

    device = mx.Device(mx.cpu if name == "cpu" else mx.gpu, 0)
    if not mx.is_available(device):
        raise pytest.UsageError(f"--device {name}: MLX has none here")
    mx.set_default_device(device)
