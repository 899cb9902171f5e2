"""Pages: what they show and how they are told apart, that nothing from outside is markup, the same as JSON."""

import re
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from hubbot.errors import UnknownLayout
from hubbot.lifecycle import Stage
from hubbot.store.listings import PAGE_ROWS
from hubbot.store.records import Outage
from tests.web.conftest import NOW, TOKEN, Bench

EVIL = '"><script>alert(1)</script>'
BEARER = {"authorization": f"Bearer {TOKEN}"}


def finding(gate: str, status: str, reason: str) -> dict[str, object]:
    return {"gate": gate, "check": "a check", "subject": "layer 3", "measured": 0.5, "allowed": None,
            "status": status, "reason": reason}  # fmt: skip


FINDINGS = [
    finding("structure", "pass", "same"),
    finding("parity", "not-run", "no torch"),
    finding("values", "fail", "too far"),
]


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


@pytest.mark.parametrize("path", ["/", "/jobs", "/published", "/layouts", "/health"])
def test_every_page_works_with_nothing_in_the_database(path: str, browser: TestClient) -> None:
    answer = browser.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f'<a href="{path}" aria-current="page">' in answer.text


def test_the_overview_says_what_runs_what_waits_and_what_needs_a_person(bench: Bench, browser: TestClient) -> None:
    bench.job("fables/Odd")
    bench.refuse(UnknownLayout("no row matches", where="layer 3", hint="add a row to the catalogue"))
    running = bench.job("fables/Running")
    bench.records.queue.claim("mac-mini", 60)
    bench.records.results.put(
        running.id, "progress", {"stage": "inspect", "done": 3, "total": 4, "what": "shard 3"}
    )
    bench.job("fables/Waiting")
    bench.publish("fables/Fox", "4bit", 1_500_000_000)
    text = words(browser.get("/").text)
    for said in (
        "75 %, shard 3",
        "on mac-mini",
        "no row matches",
        "add a row to the catalogue",
        "1 variant, 1.50 GB",
    ):
        assert said in text
    at_work, person, rest = text.index("At work"), text.index("Needs a person"), text.index("Published last")
    assert at_work < text.index("fables/Running") < person < text.index("fables/Odd") < rest
    assert rest < text.index("fables/Fox") < text.index("fables/Waiting")


def test_a_job_shows_stages_attempts_and_findings_worst_first(bench: Bench, browser: TestClient) -> None:
    job = bench.job()
    bench.refuse(UnknownLayout("no row matches", hint="add a row"))
    bench.records.results.put(
        job.id, "report", {"verdict": "refused", "gates": {"values": "fail"}, "findings": FINDINGS}, "4bit"
    )
    text = words(browser.get(f"/jobs/{job.id}").text)
    assert all(stage.value in text for stage in Stage)
    assert text.index("too far") < text.index("no torch") < text.index("1 that passed") < text.index("same")
    assert "add a row" in text
    assert "Retry" in text
    data = browser.get(f"/api/jobs/{job.id}", headers=BEARER).json()
    assert [entry["status"] for entry in data["reports"][0]["findings"]] == ["fail", "not-run", "pass"]
    assert data["stages"][0] == {"stage": "inspect", "status": "parked", "tries": 1, "seconds": 0.0}
    assert data["stages"][1]["status"] == "to come"
    assert data["attempts"][0]["error"]["message"] == "no row matches"
    assert "lease" not in data["job"]


def test_jobs_are_filtered_and_paged(bench: Bench, browser: TestClient) -> None:
    for number in range(PAGE_ROWS + 1):
        bench.job(f"fables/Fox-{number:03}")
    first = browser.get("/jobs").text
    assert "Fox-050" in first
    assert "Fox-000" not in first
    assert 'rel="next" href="/jobs?page=2"' in first
    second = browser.get("/jobs?page=2").text
    assert "Fox-000" in second
    assert 'rel="next"' not in second
    assert "Fox-007" in browser.get("/jobs?text=fox-007&state=waiting").text
    assert "No job is like that" in browser.get("/jobs?state=failed").text
    assert browser.get("/jobs?page=99999999999999999999&state=nonsense").status_code == 200


def test_published_models_are_searched_filtered_and_sorted(bench: Bench, browser: TestClient) -> None:
    bench.publish("fables/Fox", "4bit", 40, model_type="qwen3_moe", kl_mean=0.05)
    bench.publish("fables/Fox", "8bit", 80, model_type="qwen3_moe", kl_mean=0.004)
    bench.publish("fables/Owl", "4bit", 30, model_type="mixtral")

    def listed(query: str) -> list[str]:
        return re.findall(r'href="/published/fables/(\w+)"', browser.get(f"/published?{query}").text)

    assert listed("sort=largest&order=asc") == ["Owl", "Fox"]
    assert listed("sort=largest") == ["Fox", "Owl"]
    assert listed("sort=quality") == ["Fox", "Owl"]
    assert listed("type=mixtral") == ["Owl"]
    assert listed("variant=8bit") == ["Fox"]
    assert listed("text=ow") == ["Owl"]
    assert listed("sort=nonsense") == ["Owl", "Fox"] or listed("sort=nonsense") == ["Fox", "Owl"]
    assert 'aria-sort="ascending"' in browser.get("/published?sort=model&order=asc").text


def test_a_model_has_one_page_with_its_variants(bench: Bench, browser: TestClient) -> None:
    bench.publish("fables/Fox", "4bit", 40, kl_mean=0.05, model_type="qwen3_moe")
    bench.publish("fables/Fox", "8bit", 80)
    page = browser.get("/published/fables/Fox").text
    assert 'href="https://hub.example/mlx/Fox-MLX-4bit"' in page
    assert 'href="https://hub.example/fables/Fox"' in page
    table = words(page).partition("Published ")[2].partition("Variants Variant")[2]
    assert 0 < table.index("8bit") < table.index("4bit")
    assert "KL 0.0500" in words(page)
    assert "not measured" in words(page)
    assert browser.get("/published/fables/Nobody").status_code == 404


def test_a_models_page_says_for_each_mac_which_variant_fits(bench: Bench, browser: TestClient) -> None:
    gigabyte = 1_000_000_000
    for variant, size, kl in (("bf16", 60, None), ("8bit", 34, 0.002), ("4bit", 17, 0.03), ("2bit", 11, 0.4)):
        bench.publish("fables/Fox", variant, size * gigabyte, kl_mean=kl, memory_bytes=(size + 1) * gigabyte)
    bench.publish("fables/Fox", "3bit", 13 * gigabyte, kl_mean=0.1)
    page = words(browser.get("/published/fables/Fox").text)
    assert "Recommended: 4bit" in page
    assert "What fits your Mac 24 GB 2bit poor KL 0.4000" in page
    assert "32 to 36 GB 4bit good KL 0.0300 48 to 64 GB 8bit excellent KL 0.0020 96 GB or more bf16" in page


def test_a_model_whose_memory_nobody_knows_is_promised_to_no_mac(bench: Bench, browser: TestClient) -> None:
    bench.publish("fables/Fox", "4bit", 40)
    bench.publish("fables/Whale", "bf16", 10**12, memory_bytes=10**12)
    for repo in ("fables/Fox", "fables/Whale"):
        page = words(browser.get(f"/published/{repo}").text)
        assert "What fits your Mac" not in page
        assert "Recommended" not in page.partition("Variants")[0]
    assert "a Mac with over 512 GB" in words(browser.get("/published/fables/Whale").text)


def test_model_types_are_searched(browser: TestClient) -> None:
    page = words(browser.get("/layouts?text=Qwen3_M").text)
    assert "qwen3_moe convertible" in page
    assert "mixtral convertible" not in page
    assert "refused by name" in words(browser.get("/layouts?text=nobodys_type").text)


@pytest.mark.parametrize("url", ["javascript:alert(1)//mlx/Fox-MLX-4bit", "https://elsewhere.example/", "", None])
def test_an_address_that_is_not_the_repos_page_is_no_link(
    url: str | None, bench: Bench, browser: TestClient
) -> None:
    bench.publish("fables/Fox", "4bit", report={"url": url, "gates": {}})
    page = browser.get("/published/fables/Fox")
    assert page.status_code == 200
    assert 'rel="noreferrer"' not in page.text


def test_nothing_from_outside_is_markup(bench: Bench, browser: TestClient) -> None:
    job = bench.job(f"fables/{EVIL}", (EVIL,))
    bench.refuse(UnknownLayout(EVIL, where=EVIL, hint=EVIL))
    bench.publish(
        f"fables/{EVIL}", EVIL, model_type=EVIL, report={"gates": {EVIL: EVIL}, "versions": {EVIL: EVIL}}
    )
    findings = [{**FINDINGS[0], "check": EVIL, "reason": EVIL, "measured": EVIL}]
    bench.records.results.put(
        job.id, "report", {"verdict": EVIL, "gates": {EVIL: EVIL}, "findings": findings}, EVIL
    )
    bench.records.results.put(job.id, "layout", {"row": EVIL})
    paths = ("/", "/jobs", f"/jobs/{job.id}", "/published", f"/published/fables/{EVIL}", f"/jobs?text={EVIL}",
             f"/published?text={EVIL}&type={EVIL}", f"/nowhere/{EVIL}")  # fmt: skip
    for path in paths:
        text = browser.get(path).text
        assert "alert(1)" in text, path
        assert "<script>alert" not in text, path
        assert "onerror" not in text


def test_every_page_is_there_as_json_for_who_has_the_token(bench: Bench, browser: TestClient) -> None:
    bench.job()
    bench.publish("fables/Fox", "4bit")
    for name in ("overview", "jobs", "jobs/1", "published", "published/fables/Fox", "layouts", "health"):
        answer = browser.get(f"/api/{name}", headers=BEARER)
        assert answer.status_code == 200, name
        assert answer.json()
    assert browser.get("/api/jobs", headers=BEARER).json()["jobs"][0]["repo"] == "fables/Fox"
    refused = browser.get("/api/jobs/99", headers=BEARER)
    assert (refused.status_code, refused.json()["error"]["message"]) == (404, "there is no job 99")


def test_what_does_not_exist_is_said_on_a_page(browser: TestClient) -> None:
    answer = browser.get("/jobs/99")
    assert answer.status_code == 404
    assert "there is no job 99" in answer.text
    assert "Not Found" in browser.get("/nowhere").text


def test_no_page_needs_anything_from_another_server_or_inline(bench: Bench, browser: TestClient) -> None:
    job = bench.job()
    for path in ("/", "/jobs", f"/jobs/{job.id}", "/published", "/layouts", "/health"):
        text = browser.get(path).text
        assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
        assert not re.search(r"<style|<script>|\sstyle=|\son\w+=", text)
    for name in ("hubbot.css", "live.js", "icon.svg"):
        assert browser.get(f"/static/{name}").status_code == 200
    assert "http" not in browser.get("/static/hubbot.css").text
    assert browser.get("/static/../page_routes.py").status_code == 404


def test_the_overview_says_what_the_bot_waits_for(bench: Bench, browser: TestClient) -> None:
    outage = Outage(
        runner="mac-mini", door="hub", stages=(Stage.INSPECT, Stage.FETCH), since=NOW - timedelta(hours=3),
        next_probe=NOW, probes=2, error={"message": "the Hub answered 503", "hint": "it ends by itself"},
    )  # fmt: skip
    quiet = browser.get("/").text
    bench.records.outages.put(outage)
    page = browser.get("/").text
    assert "hub, mac-mini, since 3.0 h ago the Hub answered 503 it ends by itself" in words(page)
    assert "Not begun meanwhile: inspect, fetch" in words(page)
    versions = [re.search(r'data-version="([^"]*)"', text) for text in (quiet, page)]
    assert versions[0] is not None
    assert versions[1] is not None
    assert versions[0][1] != versions[1][1]
