"""Guards: host names, sign-in, bearer tokens, and the headers that every answer has."""

import pytest

from hubbot.web.guards import POLICY, SESSION_COOKIE
from tests.web.conftest import TOKEN, Bench, send

PAGES = ("/", "/jobs", "/published", "/layouts", "/health", "/live", "/published/fables/Fox")


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.7:8765", "", "[::1", "127.0.0.1@evil"]
)
def test_a_host_name_that_is_not_allowed_is_refused_on_every_path(host: str, bench: Bench) -> None:
    browser = bench.browser()
    for path in ("/", "/healthz", "/metrics", "/api/jobs", "/static/hubbot.css"):
        answer = browser.get(path, headers={"host": host, "authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 421
        assert "web_hosts" in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:1", "[::1]:8765", "localhost."])
def test_the_names_of_loopback_are_allowed_at_any_port(host: str, bench: Bench) -> None:
    assert bench.browser().get("/healthz", headers={"host": host}).status_code == 200


def test_a_name_of_the_settings_is_allowed(bench: Bench) -> None:
    browser = bench.browser(hosts=bench.site.hosts | {"bot.example"})
    assert browser.get("/", headers={"host": "bot.example"}).status_code == 200


def test_every_answer_has_the_headers_of_safety(bench: Bench) -> None:
    browser = bench.browser(open_to_all=False)
    for path in ("/", "/sign-in", "/healthz", "/metrics", "/nowhere", "/static/live.js"):
        headers = browser.get(path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


def test_beyond_loopback_no_page_and_no_form_is_reached_without_signing_in(bench: Bench) -> None:
    browser = bench.browser(open_to_all=False)
    for path in PAGES:
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert browser.post("/jobs", data={"repo": "fables/Fox"}).status_code == 401
    assert bench.asked == []
    assert browser.get("/healthz").text == "ok\n"


def test_the_token_signs_in_and_its_cookie_is_for_this_site_alone(bench: Bench) -> None:
    browser = bench.browser(open_to_all=False)
    wrong = send(browser, "/sign-in", page="/sign-in", token="t" * 42)
    assert wrong.status_code == 403
    assert "This is not the token" in wrong.text
    right = send(browser, "/sign-in", page="/sign-in", token=TOKEN)
    assert (right.status_code, right.headers["location"]) == (303, "/")
    cookie = right.headers["set-cookie"]
    assert cookie.startswith(f"{SESSION_COOKIE}=")
    for said in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert said in cookie
    assert TOKEN not in cookie
    page = browser.get("/")
    assert page.status_code == 200
    assert "Sign out" in page.text
    assert send(browser, "/sign-out").headers["location"] == "/sign-in"
    assert browser.get("/").status_code == 303


def test_a_token_in_the_address_opens_nothing(bench: Bench) -> None:
    browser = bench.browser(open_to_all=False)
    assert browser.get(f"/?token={TOKEN}").status_code == 303
    assert browser.get(f"/api/jobs?token={TOKEN}").status_code == 401
    assert browser.get(f"/metrics?token={TOKEN}").status_code == 401


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"])
def test_json_and_metrics_ask_for_the_bearer_token_on_loopback_too(given: str, bench: Bench) -> None:
    browser = bench.browser()
    for path in ("/api/overview", "/api/jobs", "/api/nowhere", "/metrics"):
        answer = browser.get(path, headers=[(b"authorization", given.encode())])
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_session_does_not_open_the_json(bench: Bench) -> None:
    browser = bench.browser(open_to_all=False)
    send(browser, "/sign-in", page="/sign-in", token=TOKEN)
    assert browser.get("/api/jobs").status_code == 401
