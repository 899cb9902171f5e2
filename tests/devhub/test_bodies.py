from __future__ import annotations

import httpx
import pytest


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(http: httpx.Client, body: bytes) -> None:
    assert http.post("/api/repos/create", content=body).status_code == 400


def test_a_json_body_is_bounded(http: httpx.Client) -> None:
    assert http.post("/api/repos/create", content=b" " * (9 * 1024 * 1024)).status_code == 413


def test_a_form_may_also_be_json(http: httpx.Client, seeded: str) -> None:
    address = f"/api/models/{seeded}/paths-info/main"
    form = http.post(address, data={"paths": ["config.json", "absent"], "expand": "false"}).json()
    assert form == http.post(address, json={"paths": ["config.json"]}).json()
    assert [item["path"] for item in form] == ["config.json"]
