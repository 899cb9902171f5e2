from __future__ import annotations

import httpx
import pytest

from hubbot.devhub.server import EmbeddedHub


def test_pages_follow_each_other_and_never_overlap(http: httpx.Client, repo: str, seeded: str) -> None:
    everything = [item["id"] for item in http.get("/api/models").json()]
    assert {repo, seeded} <= set(everything)
    found, url = [], "/api/models?limit=1&sort=lastModified"
    while url:
        page = http.get(url)
        found += [item["id"] for item in page.json()]
        url = page.links.get("next", {}).get("url", "")
    assert sorted(found) == sorted(everything)


def test_the_next_page_has_an_absolute_address_that_keeps_the_question(
    hub: EmbeddedHub, http: httpx.Client, repo: str, seeded: str
) -> None:
    page = http.get("/api/models", params={"limit": 1, "author": "hubbot", "expand": ["sha", "tags"]})
    url = page.links["next"]["url"]
    assert url.startswith(f"{hub.url}/api/models?")
    assert "expand=sha&expand=tags" in url
    assert "author=hubbot" in url


@pytest.mark.parametrize("query", ["limit=x", "cursor=-1", "limit=99999999999"])
def test_a_page_that_is_no_number_is_refused(http: httpx.Client, query: str) -> None:
    assert http.get(f"/api/models?{query}").status_code == 400
