from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.embedded import Site, calm, running


@pytest.fixture(scope="session")
def session_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("hub")) as site:
        yield site


@pytest.fixture
def site(session_site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    calm(monkeypatch, tmp_path)
    yield session_site
    session_site.faults.clear()
