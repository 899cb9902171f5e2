"""Every page and every deed in a real browser, with and without JavaScript, on a desk and on a phone."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hubbot.errors import UnknownLayout
from hubbot.lifecycle import Stage, State
from tests.browser.conftest import Visitor, visiting
from tests.web.conftest import Bench

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.xdist_group("browser")
PAGES = ("/", "/jobs", "/jobs/1", "/jobs/3", "/published", "/published/fables/Fox", "/layouts", "/health")

SCROLLS_SIDEWAYS = """() => [...document.querySelectorAll('.scroll')]
  .filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.getAttribute('aria-label'))"""


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(width)) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def filled(bench: Bench) -> Bench:
    """A parked job, a running one and a waiting one; two models in several variants, with pictures."""
    bench.job("fables/Odd")
    bench.refuse(UnknownLayout("no row matches 'experts.w1'", where="layer 3", hint="add a row to the catalogue"))
    bench.job("fables/Running")
    bench.records.queue.claim("mac-mini", 60)
    bench.job("fables/Waiting")
    progress = {"stage": "inspect", "done": 3, "total": 4, "what": "shard 3 of 4"}
    bench.records.results.put(2, "progress", progress)
    finding = {
        "gate": "values", "check": "bound", "subject": "layers.0.mlp.switch_mlp.gate_proj", "measured": 0.5,
        "allowed": 0.1, "status": "fail", "reason": "too far from the source",
    }  # fmt: skip
    report = {"verdict": "refused", "gates": {"values": "fail"}, "findings": [finding]}
    bench.records.results.put(1, "report", report, "4bit")
    for variant, size, kl in (("bf16", 60_000_000_000, None), ("4bit", 17_000_000_000, 0.031)):
        bench.publish("fables/Fox", variant, size, kl_mean=kl, memory_bytes=size + 1_400_000_000)
    bench.publish("fables/Owl", "8bit", 250_000_000_000, kl_mean=0.002, memory_bytes=253_000_000_000)
    kept = bench.site.settings.pictures / "mlx" / "Fox-MLX-4bit"
    kept.mkdir(parents=True)
    for name in ("variants.png", "layers.png", "experts.png"):
        (kept / name).write_bytes(png(770, 374))
    return bench


@pytest.fixture(params=["desk", "phone"])
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[True, False], ids=["scripts", "no scripts"])
def visitor(request: pytest.FixtureRequest, chromium: "Browser", filled: Bench, size: str) -> Iterator[Visitor]:
    with visiting(chromium, filled, size, scripts=request.param) as who:
        yield who
        assert who.complaints == []


def test_every_page_fits_its_screen_and_the_console_stays_quiet(visitor: Visitor) -> None:
    for path in PAGES:
        visitor.open(path)
        box = visitor.page.locator("main").bounding_box()
        viewport = visitor.page.viewport_size
        assert box is not None
        assert viewport is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= viewport["width"], path
        # No table is cut off at the window's edge.
        cut = visitor.page.evaluate(SCROLLS_SIDEWAYS)
        assert cut == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(chromium: "Browser", filled: Bench, size: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not here").Axe()
    with visiting(chromium, filled, size, scripts=True, color_scheme=scheme) as who:
        for path in PAGES:
            who.open(path)
            found: list[dict[str, Any]] = axe.run(who.page).response["violations"]
            grave = [one for one in found if one["impact"] in {"serious", "critical"}]
            assert [(one["id"], one["nodes"][0]["html"]) for one in grave] == [], path


def test_a_repo_is_enqueued_and_its_job_is_watched_until_it_is_published(visitor: Visitor, filled: Bench) -> None:
    visitor.open("/")
    visitor.page.fill("form.enqueue input[name=repo]", "fables/New")
    visitor.page.click("form.enqueue button")
    job = next(job for job in filled.records.queue.jobs() if job.repo == "fables/New")
    assert visitor.page.url == f"{visitor.url}/jobs/{job.id}"
    assert "waiting" in visitor.text()
    published = replace(job, state=State.PUBLISHED, stage=Stage.PUBLISH)
    assert filled.records.queue.apply(job, published)
    visitor.wait_for("What is published of it")


def test_a_parked_job_says_why_on_the_first_screen_and_is_retried(visitor: Visitor, filled: Bench) -> None:
    visitor.open("/jobs/1")
    why = visitor.page.get_by_text("no row matches 'experts.w1'").first.bounding_box()
    viewport = visitor.page.viewport_size
    assert why is not None
    assert viewport is not None
    assert why["y"] + why["height"] < viewport["height"]
    assert "too far from the source" in visitor.text()
    visitor.page.click("text=Retry")
    assert filled.records.queue.job(1).state is State.WAITING
    visitor.page.fill("input[name=priority]", "7")
    visitor.page.click("text=Set")
    assert filled.records.queue.job(1).priority == 7
    assert "inspect begins on runner" in visitor.text()


def test_which_model_fits_32_gb_and_is_good_is_answered_by_two_clicks(visitor: Visitor) -> None:
    visitor.open("/published")
    assert "fables/Owl" in visitor.text()
    visitor.page.select_option("select[name=mac]", "32")
    visitor.page.select_option("select[name=quality]", "good")
    visitor.page.click("form.filter button")
    assert "fables/Fox" in visitor.text()
    assert "fables/Owl" not in visitor.text()
    visitor.page.click("text=fables/Fox")
    assert "recommended" in visitor.text()
    assert "32 GB Mac" in visitor.text()
    assert "good KL 0.0310" in visitor.text().replace("\n", " ")


def test_the_catalogue_is_searched_and_sorted_by_any_column(visitor: Visitor) -> None:
    visitor.open("/published")
    visitor.page.fill("input[name=text]", "owl")
    visitor.page.click("form.filter button")
    assert "fables/Fox" not in visitor.text()
    visitor.open("/published")
    for column in ("Model", "Type", "Variants", "Smallest", "Largest", "Quality", "Published"):
        visitor.page.click(f"thead >> text={column}")
        assert visitor.page.locator("thead th[aria-sort]").inner_text().startswith(column)


def test_a_models_pictures_are_shown(visitor: Visitor) -> None:
    visitor.open("/published/fables/Fox")
    pictures = visitor.page.locator(".pictures img")
    assert pictures.count() == 3
    for number in range(3):
        address = pictures.nth(number).get_attribute("src")
        answer = visitor.page.request.get(f"{visitor.url}{address}")
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")


def test_the_static_site_works_from_a_folder(
    chromium: "Browser", filled: Bench, tmp_path: Path, size: str
) -> None:
    from hubbot.web import static_site  # noqa: PLC0415

    static_site.write(filled.site, tmp_path / "site")
    with visiting(chromium, filled, size, scripts=False) as who:
        who.page.goto((tmp_path / "site" / "index.html").as_uri())
        who.page.click("text=fables/Fox")
        assert "recommended" in who.text()
        assert who.page.locator(".pictures img").count() == 3
        assert all((tmp_path / "site").glob("pictures/mlx/Fox-MLX-4bit/*.png"))
        assert who.complaints == []
