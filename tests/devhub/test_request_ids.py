from __future__ import annotations

import httpx


def test_an_answer_carries_the_id_of_its_request_or_one_of_its_own(http: httpx.Client) -> None:
    assert http.get("/api/models", headers={"X-Amzn-Trace-Id": "abc"}).headers["x-request-id"] == "abc"
    first, second = (http.get("/api/nothing").headers["x-request-id"] for _ in range(2))
    assert first != second
