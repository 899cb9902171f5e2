"""Translate the exceptions of the Hub's client into HubbotErrors. It never retries and never prints a token.

GatedRepoError, DisabledRepoError           -> Gated
RepositoryNotFoundError, RevisionNotFound   -> RepoMissing
401                                         -> TokenRejected
403                                         -> TokenRejected (no right to write, or the quota is used up)
429                                         -> RateLimited, with the pause that the Hub asks for
408, 5xx, broken connections, xet failures  -> HubUnavailable
a full disk                                 -> OutOfRoom
an answer that the client cannot read       -> HubUnavailable
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import errors as hf

from hubbot.errors import (
    Gated,
    HubbotError,
    HubRefused,
    HubUnavailable,
    OutOfRoom,
    RateLimited,
    RepoMissing,
    TokenRejected,
    WrongUsage,
)
from hubbot.files.atomic_folders import is_disk_full
from hubbot.hub.rate_limits import pause

_LATER = "a job is tried again by itself; at the command line, the same command goes on where it stopped"
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{8,}")
_REQUEST_ID = re.compile(r"\s*\((?:Request|Amzn Trace|Amz CF) ID: [^)]*\)")
# hf_xet raises bare RuntimeErrors and ConnectionErrors: what happened is in their text alone (read in 1.8.0).
_FROM_XET = re.compile(r"^(Task|Network|Server|Internal) error: |^Rate limited: |CAS Client Error")
_XET_TOKEN_REFUSED = re.compile(r"\((401|403) .*/xet-(read|write)-token/")
# A Hub that knows no xet answers 404.
_XET_REFUSED = re.compile(r"\((?!404|408|429)4\d\d .*/xet-(read|write)-token/")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise HubbotErrors instead of the client's exceptions; `where` names the repo or file at stake."""
    try:
        yield
    except HubbotError:
        raise
    except Exception as error:
        verdict = translate(error, where)
        if verdict is None:
            raise
        raise verdict from error


def translate(error: Exception, where: str) -> HubbotError | None:  # noqa: C901, PLR0911 - one clause per outcome
    """Return the HubbotError for an exception of the client or its transport, or None for anything else."""
    if isinstance(error, RuntimeError | ConnectionError) and _FROM_XET.search(str(error)):
        return _by_xet_text(str(error), where)
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        # The client wraps what broke an LFS upload in a bare RuntimeError.
        return translate(error.__cause__, where)
    if isinstance(error, _UNANSWERED):
        return HubUnavailable(f"the Hub did not answer as it should: {_clean(error)}", where=where, hint=_LATER)
    if isinstance(error, hf.GatedRepoError | hf.DisabledRepoError):
        gated = isinstance(error, hf.GatedRepoError)
        what = "access to the repo is restricted" if gated else "the repo is disabled"
        return Gated(
            f"{what}{said_by_the_hub(error)}",
            where=where,
            hint="ask for access on the repo's page with the account of HF_TOKEN, then `hubbot retry`",
        )
    if isinstance(error, hf.RepositoryNotFoundError | hf.RevisionNotFoundError | hf.EntryNotFoundError):
        what = "revision" if isinstance(error, hf.RevisionNotFoundError) else "repo"
        what = "file" if isinstance(error, hf.EntryNotFoundError) else what
        return RepoMissing(
            f"the Hub knows no such {what}, or this token may not see it",
            where=where,
            hint="check the spelling; a private repo needs HF_TOKEN",
        )
    if isinstance(error, hf.HfHubHTTPError):
        return _by_status(error, where)
    if isinstance(error, hf.LocalTokenNotFoundError):
        return TokenRejected("there is no token", where=where, hint="set HF_TOKEN, or run `hf auth login`")
    if isinstance(error, hf.HFValidationError):
        return WrongUsage(f"{_clean(error)}", where=where, hint="a repo id looks like name/model")
    if is_disk_full(error):
        return OutOfRoom("the disk is full", where=where, hint="free some space; the download resumes")
    if isinstance(error, _TRANSPORT):
        return HubUnavailable(f"the connection to the Hub failed: {_clean(error)}", where=where, hint=_LATER)
    if isinstance(error, UnicodeEncodeError):
        # All else of a request is quoted.
        return TokenRejected("the token holds characters that no token has", where="HF_TOKEN", hint="set it anew")
    if isinstance(error, _NONSENSE) and _is_of_the_client(error):
        what = f"{type(error).__name__}: {_clean(error)}"
        return HubUnavailable(f"the Hub's answer makes no sense: {what[:200]}", where=where, hint=_LATER)
    return None


# A file that could not be asked for is a "local entry not found"; an answer without its JSON is a cut one.
_UNANSWERED = (hf.LocalEntryNotFoundError, json.JSONDecodeError)
_TRANSPORT = (
    httpx2.HTTPError,
    httpx2.StreamError,
    ConnectionError,
    TimeoutError,
    hf.XetDownloadError,
    hf.FileMetadataError,
    hf.OfflineModeIsEnabled,
    hf.CorruptedCacheException,
    hf.RevisionResolutionError,
)

# What the client raises where an answer is JSON of another kind than it reads, nested without end included.
_NONSENSE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


def _is_of_the_client(error: Exception) -> bool:
    """Say whether the client itself stumbled, and not code of hubbot that it called or that called it wrongly."""
    trace, last = error.__traceback__, ""
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        last = package if package in {"hubbot", "huggingface_hub"} else last
        trace = trace.tb_next
    return last == "huggingface_hub"


def _by_xet_text(text: str, where: str) -> HubbotError:
    if _XET_TOKEN_REFUSED.search(text):
        return TokenRejected(
            f"the token may not do this: {_shortened(text)}",
            where=where,
            hint="the token needs write access to the organisation, and the organisation storage quota",
        )
    if "No space left on device" in text:
        return OutOfRoom("the disk is full", where=where, hint="free some space; the download resumes")
    if "429 Too Many Requests" in text:
        return RateLimited("the Hub asks for a pause", where=where, after_seconds=None)
    return HubUnavailable(f"the transfer over xet failed: {_shortened(text)}", where=where, hint=_LATER)


def _by_status(error: hf.HfHubHTTPError, where: str) -> HubbotError:
    status = error.response.status_code if error.response is not None else 0
    headers = error.response.headers if error.response is not None else {}
    if status == 401:
        return TokenRejected(
            f"the Hub does not accept the token{said_by_the_hub(error)}", where=where, hint="set a valid HF_TOKEN"
        )
    if status == 403:
        return TokenRejected(
            f"the token may not do this: {_clean(error)}",
            where=where,
            hint="the token needs write access to the organisation, and the organisation storage quota",
        )
    if status == 429:
        wait = pause(headers)
        pause_of = f" of {wait:.0f} s" if wait else ""
        return RateLimited(
            f"the Hub asks for a pause{pause_of}{said_by_the_hub(error)}", where=where, after_seconds=wait
        )
    # 501 is no outage: this Hub cannot do that, however often it is asked.
    if (status >= 500 and status != 501) or status in {0, 408}:
        return HubUnavailable(f"the Hub answered {status}", where=where, hint=_LATER, after_seconds=pause(headers))
    return HubRefused(f"the Hub refused with {status}: {_clean(error)}", where=where)


def is_refused_by_xet(error: Exception) -> bool:
    """Say whether the Hub refused to let hf_xet transfer; its reason is in the answer that hf_xet throws away."""
    return bool(_XET_REFUSED.search(str(error)))


def said_by_the_hub(error: hf.HfHubHTTPError) -> str:
    """Return what the server says of its refusal, behind a colon; empty where it says nothing."""
    # An error that is made by hand has no such attribute.
    return f": {_clean(error)}" if getattr(error, "server_message", None) else ""


def _clean(error: Exception) -> str:
    # The client puts the request's id first; what the server says stands apart.
    told = error.server_message if isinstance(error, hf.HfHubHTTPError) else None
    lines = [line.strip() for line in _REQUEST_ID.sub("", told or str(error)).splitlines()]
    return _shortened(next(filter(None, lines), type(error).__name__))


def _shortened(text: str) -> str:
    line = text.splitlines()[0]
    return _TOKEN.sub("hf_...", line)[:200]
