from __future__ import annotations

import httpx


def test_another_host_name_is_not_answered(http: httpx.Client) -> None:
    assert http.get("/api/models", headers={"host": "evil.example"}).status_code == 400


def test_what_does_not_exist_is_a_404_in_json(http: httpx.Client) -> None:
    missing = http.get("/api/agent-harnesses")
    assert missing.status_code == 404
    assert "error" in missing.json()
