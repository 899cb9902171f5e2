"""Forms: enqueue, retry, cancel; only from a page of this site."""

import pytest
from starlette.testclient import TestClient

from hubbot.errors import UnknownLayout
from hubbot.lifecycle import State
from hubbot.web.guards import FORM_BYTES, VISITOR_COOKIE
from tests.web.conftest import Bench, send


def test_a_form_enqueues_and_leads_to_the_job(bench: Bench, browser: TestClient) -> None:
    answer = send(browser, "/jobs", repo=" fables/Fox ", revision="main", priority="5", variant=["4bit", "8bit"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/1")
    assert bench.asked == [("fables/Fox", "main", ("4bit", "8bit"), 5)]
    assert "fables/Fox" in browser.get("/").text


def test_what_cannot_be_enqueued_is_said_with_the_reason(bench: Bench, browser: TestClient) -> None:
    answer = send(browser, "/jobs", repo="fables/Missing")
    assert answer.status_code == 409
    assert "the repo does not exist" in answer.text
    assert "a repo id is missing" in send(browser, "/jobs", repo="").text
    for wrong in ("x", "1.5", "99999", "--1", "²"):
        assert "a priority is a whole number" in send(browser, "/jobs", repo="fables/Fox", priority=wrong).text
    assert bench.records.listings.jobs().total == 0


def test_a_parked_job_is_retried_and_cancelled(bench: Bench, browser: TestClient) -> None:
    job = bench.job()
    bench.refuse(UnknownLayout("no row matches"))
    page = f"/jobs/{job.id}"
    assert send(browser, f"{page}/retry", page=page).headers["location"] == page
    assert bench.records.queue.job(job.id).state is State.WAITING
    assert send(browser, f"{page}/cancel", page=page).status_code == 303
    assert bench.records.queue.job(job.id).state is State.CANCELLED
    again = send(browser, f"{page}/cancel", page=page)
    assert again.status_code == 409
    assert "cannot be cancelled" in again.text
    assert send(browser, "/jobs/99/retry").status_code == 409


def test_a_running_job_is_asked_to_stop_and_says_so(bench: Bench, browser: TestClient) -> None:
    job = bench.job()
    bench.records.queue.claim("runner", 60)
    page = f"/jobs/{job.id}"
    send(browser, f"{page}/cancel", page=page)
    assert "asked to stop" in browser.get(page).text
    assert f"{page}/cancel" not in browser.get(page).text


@pytest.mark.parametrize("given", ["", "0" * 64, "é"])
def test_a_form_without_this_visitors_token_changes_nothing(given: str, bench: Bench, browser: TestClient) -> None:
    job = bench.job()
    browser.get("/")
    for path in ("/jobs", f"/jobs/{job.id}/cancel", f"/jobs/{job.id}/retry", "/sign-out", "/sign-in"):
        assert browser.post(path, data={"form_token": given, "repo": "fables/Owl"}).status_code == 403
    assert bench.asked == []
    assert bench.records.queue.job(job.id).state is State.WAITING


def test_a_form_of_another_site_or_another_visitor_changes_nothing(bench: Bench, browser: TestClient) -> None:
    token = browser.get("/").text.partition('name="form_token" value="')[2][:64]
    form = {"form_token": token, "repo": "fables/Fox"}
    assert browser.post("/jobs", data=form, headers={"origin": "http://evil.example"}).status_code == 403
    assert browser.post("/jobs", data=form, headers={"origin": "null"}).status_code == 403
    stranger = bench.browser()
    stranger.get("/")
    assert stranger.post("/jobs", data=form).status_code == 403
    assert bench.browser().post("/jobs", data=form).status_code == 403
    assert bench.asked == []
    same_origin = {"origin": "http://localhost:8765"}
    assert browser.post("/jobs", data=form, headers=same_origin).status_code == 303


def test_the_visitors_cookie_is_given_once_and_is_out_of_reach_for_scripts(browser: TestClient) -> None:
    cookie = browser.get("/").headers["set-cookie"]
    assert cookie.startswith(f"{VISITOR_COOKIE}=")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "set-cookie" not in browser.get("/").headers


def test_a_form_that_is_too_long_or_has_too_many_fields_is_refused(bench: Bench, browser: TestClient) -> None:
    browser.get("/")
    assert browser.post("/jobs", data={"repo": "x" * FORM_BYTES}).status_code == 413
    assert browser.post("/jobs", content="a=1&" * 200).status_code == 400
    assert browser.post("/jobs", content=b"\xff\xfe").status_code == 403
    assert bench.asked == []


def test_reading_never_changes_anything(bench: Bench, browser: TestClient) -> None:
    job = bench.job()
    for path in (f"/jobs/{job.id}/cancel", f"/jobs/{job.id}/retry", "/sign-out"):
        assert browser.get(path).status_code == 405
    assert bench.records.queue.job(job.id).state is State.WAITING
