"""Every exception of the client and its transport, and what hubbot does about it."""

import errno
import inspect
import json
from types import ModuleType

import httpx2
import pytest
from huggingface_hub import errors as hf
from huggingface_hub.utils import hf_raise_for_status

from hubbot.errors import (
    CorruptHeader,
    Gated,
    HubbotError,
    HubRefused,
    HubUnavailable,
    NeedsHuman,
    OutOfRoom,
    RateLimited,
    RepoMissing,
    TokenRejected,
    WrongUsage,
)
from hubbot.hub.failures import translate, translated
from hubbot.hub.rate_limits import pause

# What no call of hubbot's can raise: inference, buckets, spaces, the client's own command line and dataclasses,
# formats that hubbot reads by itself. They stay what they are, for they would be a fault of hubbot.
NOT_MET = {
    "CLIError", "CLIExtensionInstallError", "CacheNotFound", "CachedRepoTreeNotFoundError", "ConfirmationError",
    "CookieConflict", "DDUFCorruptedFileError", "DDUFError", "DDUFExportError", "DDUFInvalidEntryNameError",
    "DeviceCodeError", "DryRunError", "FileDuplicationError", "HfUriError", "InferenceEndpointError", "InvalidURL",
    "NotASafetensorsRepoError", "OIDCError", "SafetensorsParsingError", "SandboxCommandError", "SandboxError",
    "StrictDataclassClassValidationError", "StrictDataclassDefinitionError", "StrictDataclassError",
    "StrictDataclassFieldValidationError",
}  # fmt: skip
MAPPED: dict[str, type[HubbotError]] = {
    # by their class
    "GatedRepoError": Gated,
    "DisabledRepoError": Gated,
    "RepositoryNotFoundError": RepoMissing,
    "RevisionNotFoundError": RepoMissing,
    "EntryNotFoundError": RepoMissing,
    "RemoteEntryNotFoundError": RepoMissing,
    "LocalTokenNotFoundError": TokenRejected,
    "HFValidationError": WrongUsage,
    # by their status, here a 503
    "HfHubHTTPError": HubUnavailable,
    "BadRequestError": HubUnavailable,
    "BucketBatchError": HubUnavailable,
    "BucketNotFoundError": HubUnavailable,
    "JobNotFoundError": HubUnavailable,
    # the network, or what it left behind
    "XetDownloadError": HubUnavailable,
    "FileMetadataError": HubUnavailable,
    "OfflineModeIsEnabled": HubUnavailable,
    "CorruptedCacheException": HubUnavailable,
    "RevisionResolutionError": HubUnavailable,
    "GenerationError": HubUnavailable,
    "IncompleteGenerationError": HubUnavailable,
    "InferenceEndpointTimeoutError": HubUnavailable,
    "InferenceTimeoutError": HubUnavailable,
    "OverloadedError": HubUnavailable,
    "TextGenerationError": HubUnavailable,
    "UnknownError": HubUnavailable,
    "ValidationError": HubUnavailable,
}
# The client raises these where it could not reach the Hub and has no copy of its own.
UNREACHED = ("LocalEntryNotFoundError", "IncompleteSnapshotError")


def exceptions(module: ModuleType) -> dict[str, type[Exception]]:
    found = {name: kind for name, kind in vars(module).items() if inspect.isclass(kind)}
    return {name: kind for name, kind in found.items() if issubclass(kind, Exception)}


def response(status: int, **headers: str) -> httpx2.Response:
    request = httpx2.Request("GET", "https://hub.example/api/models/a/b")
    return httpx2.Response(status, headers=headers, request=request, text="no")


def refusal(status: int, **headers: str) -> hf.HfHubHTTPError:
    return hf.HfHubHTTPError("the answer", response=response(status, **headers))


def raised(kind: type[Exception]) -> Exception:
    """An exception of this class, without going through constructors that want a whole request."""
    error = kind.__new__(kind)
    Exception.__init__(error, "it happened")
    if isinstance(error, hf.HfHubHTTPError):
        error.response = response(503)
    return error


def test_every_exception_of_the_client_has_been_thought_of() -> None:
    known = {*MAPPED, *NOT_MET, *UNREACHED}
    assert set(exceptions(hf)) - {"HTTPError"} <= known
    assert known <= {*exceptions(hf), *exceptions(httpx2)}


@pytest.mark.parametrize("name", sorted(MAPPED))
def test_an_exception_of_the_client_becomes_the_error_it_means(name: str) -> None:
    assert type(translate(raised(exceptions(hf)[name]), "a/b")) is MAPPED[name]


@pytest.mark.parametrize("name", sorted(NOT_MET - {"CookieConflict", "InvalidURL"}))
def test_what_cannot_happen_is_not_explained_away(name: str) -> None:
    assert translate(raised(exceptions(hf)[name]), "a/b") is None


@pytest.mark.parametrize("name", UNREACHED)
def test_a_file_that_could_not_be_asked_for_is_no_missing_file(name: str) -> None:
    assert type(translate(raised(exceptions(hf)[name]), "a/b")) is HubUnavailable


def test_every_exception_of_the_transport_is_an_unreachable_hub() -> None:
    transport = {name: kind for name, kind in exceptions(httpx2).items() if name not in NOT_MET}
    assert len(transport) > 20
    for name, kind in transport.items():
        assert type(translate(raised(kind), "a/b")) is HubUnavailable, name


@pytest.mark.parametrize("name", ["CookieConflict", "InvalidURL"])
def test_an_address_of_hubbots_own_making_is_not_the_hubs_fault(name: str) -> None:
    assert translate(raised(exceptions(httpx2)[name]), "a/b") is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, TokenRejected),
        (403, TokenRejected),
        (408, HubUnavailable),
        (409, HubRefused),
        (412, HubRefused),
        (413, HubRefused),
        (429, RateLimited),
        (500, HubUnavailable),
        (502, HubUnavailable),
        (503, HubUnavailable),
        (504, HubUnavailable),
    ],
)
def test_a_status_means_what_is_to_be_done(status: int, kind: type[HubbotError]) -> None:
    found = translate(refusal(status), "a/b")
    assert type(found) is kind
    assert found.where == "a/b"


@pytest.mark.parametrize("status", [400, 404, 409, 410, 422])
def test_any_other_refusal_waits_for_a_person_and_says_the_status(status: int) -> None:
    found = translate(refusal(status), "a/b")
    assert isinstance(found, NeedsHuman)
    assert str(status) in found.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"RateLimit": '"api";r=0;t=55'}, 56.0),
        ({"ratelimit": '"resolvers";r=0;t=0'}, 1.0),
        ({"Retry-After": "7"}, 8.0),
        ({"RateLimit": '"api";r=0;t=3', "Retry-After": "900"}, 4.0),
        ({"Retry-After": "Fri, 20 Nov 2026 18:13:05 GMT"}, None),
        ({"RateLimit": "nonsense"}, None),
        ({}, None),
    ],
)
def test_the_pause_is_the_one_that_the_headers_ask_for(headers: dict[str, str], seconds: float | None) -> None:
    assert pause(httpx2.Headers(headers)) == seconds
    for status in (429, 503):
        found = translate(refusal(status, **headers), "a/b")
        assert isinstance(found, RateLimited | HubUnavailable)
        assert found.after_seconds == seconds


def test_a_full_disk_is_no_failure_of_the_network() -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        assert type(translate(OSError(number, "no space"), "a/b")) is OutOfRoom
    assert translate(OSError(errno.EACCES, "denied"), "a/b") is None


def test_connections_that_python_itself_sees_break_are_the_networks() -> None:
    for error in (ConnectionResetError("reset"), BrokenPipeError("pipe"), TimeoutError("late")):
        assert type(translate(error, "a/b")) is HubUnavailable


def test_an_answer_without_the_json_that_it_promises_is_the_hubs_fault() -> None:
    found = translate(json.JSONDecodeError("Expecting value", "", 0), "a/b")
    assert type(found) is HubUnavailable


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_no_token_is_ever_in_a_message(status: int) -> None:
    token = "hf_AbCdEfGhIjKlMnOp"
    error = hf.HfHubHTTPError(f"Bearer {token} may not", response=response(status))
    found = translate(error, "a/b")
    assert found is not None
    assert token not in json.dumps(found.to_json())
    assert token not in str(found)
    broken = translate(httpx2.ConnectError(f"https://user:{token}@hub.example"), "a/b")
    assert broken is not None
    assert token not in broken.message


def test_a_message_is_one_line_of_bounded_length() -> None:
    found = translate(httpx2.ReadError("x" * 5000 + "\nsecond line"), "a/b")
    assert found is not None
    assert len(found.message) < 300
    assert "\n" not in found.message


def test_the_original_stays_attached_and_hubbots_own_errors_pass() -> None:
    with pytest.raises(HubUnavailable) as caught, translated("a/b"):
        raise httpx2.ReadTimeout("late")
    assert isinstance(caught.value.__cause__, httpx2.ReadTimeout)
    with pytest.raises(CorruptHeader, match="mine"), translated("a/b"):
        raise CorruptHeader("mine")
    with pytest.raises(KeyError), translated("a/b"):
        raise KeyError("a fault of hubbot")


_SAID = "Request error: HTTP status client error"
_READ = "Task error: File reconstruction error: CAS Client Error"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError(f"{_READ}: {_SAID} (403 Forbidden), domain: http://h/v2/reconstructions/0"), HubUnavailable),
        (RuntimeError(f"{_READ}: Format error: I/O error: error decoding response body"), HubUnavailable),
        (RuntimeError("Task error: File size mismatch: expected 9 bytes but downloaded 0 bytes"), HubUnavailable),
        (RuntimeError("Internal error: Xorb 2b12 was not uploaded"), HubUnavailable),
        (RuntimeError(f"{_READ}: {_SAID} (429 Too Many Requests), domain: http://h/x"), RateLimited),
        (RuntimeError("Task error: I/O error: No space left on device (os error 28)"), OutOfRoom),
        (ConnectionError(f"Rate limited: {_SAID} (429 Too Many Requests), domain: http://h/x"), RateLimited),
        (
            ConnectionError(f"Network error: {_SAID} (401 Unauthorized), domain: http://h/m/xet-write-token/main"),
            TokenRejected,
        ),
        (
            ConnectionError(f"Network error: {_SAID} (404 Not Found), domain: http://h/m/xet-write-token/main"),
            HubUnavailable,
        ),
    ],
)
def test_what_broke_a_transfer_over_xet_is_read_from_its_text(
    error: Exception, expected: type[HubbotError]
) -> None:
    assert type(translate(error, "ours/model")) is expected


def test_a_runtime_error_that_is_not_of_xet_stays_a_fault_of_hubbot() -> None:
    assert translate(RuntimeError("dictionary changed size during iteration"), "ours/model") is None


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (403, "You have used up your private storage"),
        (400, "The card's license is not one of the list"),
        (409, "The repo is being renamed"),
        (413, "The commit has too many files"),
        (501, "Collections are not implemented"),
    ],
)
def test_a_refusal_holds_what_the_server_said_and_never_only_the_requests_id(status: int, said: str) -> None:
    request = httpx2.Request("POST", "https://hub.example/api/models/a/b/commit/main")
    answer = httpx2.Response(
        status, request=request, json={"error": said}, headers={"x-request-id": "Root=1-abc;xyz"}
    )
    with pytest.raises(hf.HfHubHTTPError) as caught:
        hf_raise_for_status(answer)
    found = translate(caught.value, "a/b")
    assert isinstance(found, HubRefused if status != 403 else TokenRejected)
    assert said in found.message
    assert "Root=1-abc" not in found.message
