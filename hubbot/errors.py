"""The error tree, by what is to be done about an error.

    HubbotError
    |- WrongUsage  -> tell the caller     exit 2
    |- TryLater    -> retry with backoff  exit 5  HubUnavailable RateLimited OutOfRoom OutOfMemory
    |                                             FolderUnusable ChildDied TookTooLong WorkLost
    |- NotForUs    -> skip                exit 3  NotMixtureOfExperts RepoMissing Gated LicenceForbids
    |                                             TooLarge AlreadyPublished Superseded
    |- NeedsHuman  -> park                exit 4  UnknownLayout UnknownPacking AmbiguousLayout IncompleteCover
    |                                             ConfigUnresolved RecipeIneffective NoRuntime TokenRejected
    |                                             HubRefused NotOurs
    `- Disproved   -> fail                exit 1  CorruptHeader CorruptConfig StructureMismatch ValueMismatch
                                                  SmokeFailed UnsafePickle
It never decides when to retry; that is jobs/retry.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

NAMES_SHOWN = 6


class HubbotError(Exception):
    """One clear line: what happened, where, and what the person can do.

    The line shows a few names; `names` has all of them, in lists by a word for what they have in common.
    """

    exit_code: ClassVar[int] = 1
    state: ClassVar[str] = "failed"

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        names: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.names = {word: list(listed) for word, listed in (names or {}).items() if listed}

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        return f"{self.message}{where}"

    @property
    def with_hint(self) -> str:
        """Return what str() gives, and what to do about it if that is known."""
        return f"{self}; {self.hint}" if self.hint else str(self)

    def to_json(self) -> dict[str, Any]:
        """Return the error as the `error` object of a failing --json command; `names` only where there are any."""
        record = {
            "kind": type(self).__name__,
            "state": self.state,
            "message": self.message,
            "where": self.where,
            "hint": self.hint,
        }
        return {**record, "names": self.names} if self.names else record


def some_of(names: Sequence[str]) -> str:
    """Return the first names in quotes, with how many more there are."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(repr(name) for name in names[:NAMES_SHOWN]) + more


class WrongUsage(HubbotError):
    """The call's words are off."""

    exit_code = 2


class TryLater(HubbotError):
    """Nothing is wrong with the checkpoint; the world was not ready."""

    exit_code = 5
    state = "waiting"

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        names: Mapping[str, Sequence[str]] | None = None,
        after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, where=where, hint=hint, names=names)
        self.after_seconds = after_seconds


class HubUnavailable(TryLater):
    """The Hub did not answer, or its connection broke."""


class RateLimited(TryLater):
    """The Hub asked for a pause; `after_seconds` says how long."""


class OutOfRoom(TryLater):
    """The disk did not suffice."""


class OutOfMemory(OutOfRoom):
    """Memory did not suffice for this job."""


class FolderUnusable(TryLater):
    """A folder of hubbot's own is gone, or cannot be written."""


class ChildDied(TryLater):
    """A heavy stage's process ended without an answer (killed, out of memory, Metal abort)."""


class TookTooLong(ChildDied):
    """A heavy stage's process was ended because its time was up."""


class WorkLost(TryLater):
    """A file that an earlier stage of a job left is gone; the job begins anew."""


class NotForUs(HubbotError):
    """The repo is fine, and none of hubbot's business."""

    exit_code = 3
    state = "skipped"


class NotMixtureOfExperts(NotForUs):
    """The checkpoint has no experts."""


class RepoMissing(NotForUs):
    """The repo or revision does not exist, or is hidden from this token."""


class Gated(NotForUs):
    """The repo's owner has not granted access."""


class LicenceForbids(NotForUs):
    """The licence is not on the allow-list."""


class TooLarge(NotForUs):
    """The checkpoint is above the size limit of the settings."""


class AlreadyPublished(NotForUs):
    """The same source and recipe are published already."""


class Superseded(NotForUs):
    """A newer commit of the source is published, or waits in its place."""


class NeedsHuman(HubbotError):
    """A person, or a newer runtime, has to decide."""

    exit_code = 4
    state = "parked"


class UnknownLayout(NeedsHuman):
    """No row of the layout catalogue matches the expert tensors."""


class UnknownPacking(NeedsHuman):
    """The weights are packed in a way that the packing catalogue does not know."""


class AmbiguousLayout(NeedsHuman):
    """A known pattern, but nothing proves its order or orientation for this model type."""


class IncompleteCover(NeedsHuman):
    """A source tensor has no use, or a parameter of the runtime has no source."""


class ConfigUnresolved(NeedsHuman):
    """A field of the runtime has no value, or a flag acts that the runtime ignores."""


class RecipeIneffective(NeedsHuman):
    """A quantized variant would quantize nothing in this checkpoint."""


class NoRuntime(NeedsHuman):
    """Recognised, but no runtime on this machine computes it."""


class TokenRejected(NeedsHuman):
    """The Hub does not accept the token, or the token may not write there."""


class HubRefused(NeedsHuman):
    """The Hub understood the request and will not do it; its own words say why."""


class NotOurs(NeedsHuman):
    """The target repo exists and does not carry hubbot's marker."""


class Disproved(HubbotError):
    """What was found contradicts what was claimed."""


class CorruptHeader(Disproved):
    """A safetensors file breaks a rule of its format."""


class CorruptConfig(Disproved):
    """config.json or another JSON side file cannot be read as what it claims to be."""


class StructureMismatch(Disproved):
    """An artifact's names, shapes, files or configuration are not what the source demands."""


class ValueMismatch(Disproved):
    """An artifact's numbers are not the source's, or are not numbers."""


class SmokeFailed(Disproved):
    """The artifact loads but does not speak."""


class UnsafePickle(Disproved):
    """A pickled weight file wants more than to be read as tensors."""


def kinds() -> Iterator[type[HubbotError]]:
    """Yield every class of the tree, parents before children."""
    queue: list[type[HubbotError]] = [HubbotError]
    while queue:
        kind = queue.pop(0)
        yield kind
        queue.extend(kind.__subclasses__())


def from_json(record: Mapping[str, Any]) -> HubbotError:
    """Rebuild an error that crossed a process boundary; an unknown kind becomes a plain HubbotError."""
    by_name = {kind.__name__: kind for kind in kinds()}
    kind = by_name.get(record.get("kind") or "", HubbotError)
    return kind(
        record.get("message") or "no message",
        where=record.get("where"),
        hint=record.get("hint"),
        names=record.get("names"),
    )
