"""The dashboard in a real browser: Debian's chromium, with and without JavaScript, on a desk and on a phone."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from hubbot.web.dashboard import serving
from tests.web.conftest import Bench, bench, engine

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["bench", "engine"]
WIDTHS = {"desk": (1280, 800), "phone": (390, 844)}


# Of a module: playwright keeps an event loop running in this thread, where other modules run their own.
@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright, of the extra `test`, is not here")
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("Debian's chromium is not here")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Somebody before the dashboard; `complaints` are what the browser's console said."""

    page: "Page"
    url: str
    scripts: bool
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == 200, path

    def text(self) -> str:
        return str(self.page.inner_text("main"))

    def wait_for(self, words: str) -> None:
        """Wait until the page says so: by itself where it has scripts, else by loading it again."""
        if not self.scripts:
            self.page.reload()
        self.page.wait_for_function("words => document.body.innerText.includes(words)", arg=words, timeout=10_000)


@contextmanager
def visiting(chromium: "Browser", bench: Bench, size: str, *, scripts: bool, **how: Any) -> Iterator[Visitor]:
    width, height = WIDTHS[size]
    with serving(bench.site, host="127.0.0.1", port=0) as url:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, java_script_enabled=scripts, **how
        )
        page = context.new_page()
        visitor = Visitor(page=page, url=url, scripts=scripts)
        page.on("console", lambda said: visitor.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        yield visitor
        context.close()
