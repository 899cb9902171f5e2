from __future__ import annotations

import json

import anyio
import pytest
from starlette.requests import Request

from hubbot.devhub import wire_errors
from hubbot.devhub.wire_errors import WireError, answer_wire_error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (wire_errors.repo_not_found(), 404, "RepoNotFound"),
        (wire_errors.revision_not_found("x"), 404, "RevisionNotFound"),
        (wire_errors.entry_not_found("x", "s"), 404, "EntryNotFound"),
        (wire_errors.gated("a/b", "http://h", known=False), 401, "GatedRepo"),
        (wire_errors.gated("a/b", "http://h", known=True), 403, "GatedRepo"),
        (wire_errors.not_found("x"), 404, None),
        (wire_errors.invalid_token(), 401, None),
    ],
)
def test_the_client_can_tell_refusals_apart(error: WireError, status: int, code: str | None) -> None:
    assert (error.status, error.code) == (status, code)


def test_a_message_that_no_header_can_carry_is_made_to_fit() -> None:
    answer = anyio.run(answer_wire_error, Request({"type": "http"}), wire_errors.bad_request("ü\r\nX-Evil: 1"))
    assert answer.headers["x-error-message"] == "?  X-Evil: 1"
    assert json.loads(bytes(answer.body))["error"] == "ü\r\nX-Evil: 1"
