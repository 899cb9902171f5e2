"""The records that the store returns beside jobs: attempts, results, sightings, publications, audits.

Plain data; no row of a table ever leaves store/.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from hubbot.lifecycle import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of one stage; open (`ended_at` and `outcome` are None) while it runs."""

    id: int
    job_id: int
    stage: Stage
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: dict[str, Any] | None
    runner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a stage found, as JSON data; `variant` is None where it is the whole job's."""

    job_id: int
    kind: str
    variant: str | None
    data: dict[str, Any]
    stored_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A repo at a revision that the watch has seen, and what was decided about it."""

    repo: str
    revision: str
    first_seen: datetime
    verdict: str
    job_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedVariant:
    """A variant of a source on the Hub; `report` is what was measured about it.

    `kl_mean` is the mean KL divergence from the unquantized model in nats, None where it was not measured;
    `memory_bytes` is what it needs at 8192 tokens of context, None where an older version published it.
    """

    source_repo: str
    source_revision: str
    variant: str
    target_repo: str
    target_revision: str
    published_at: datetime
    bits_per_weight: float
    bytes: int
    report: dict[str, Any]
    model_type: str | None = None
    kl_mean: float | None = None
    memory_bytes: int | None = None

    @property
    def made_with(self) -> dict[str, str]:
        """Return the versions that made it, by program."""
        return dict(self.report.get("versions") or self.report.get("made_with") or {})

    def to_json(self) -> dict[str, Any]:
        """Return plain data for --json."""
        return {**asdict(self), "published_at": self.published_at.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What a runner waits for: its `door` (hub, token, disk), the stages that are not begun, and the reason."""

    runner: str
    door: str
    stages: tuple[Stage, ...]
    since: datetime
    next_probe: datetime
    probes: int
    error: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for --json."""
        times = {"since": self.since.isoformat(), "next_probe": self.next_probe.isoformat()}
        return {**asdict(self), "stages": [stage.value for stage in self.stages], **times}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine that works on the queue under a runner's name: its memory, free disk, device and times."""

    runner: str
    memory_bytes: int
    disk_bytes: int
    device: str
    started_at: datetime
    seen_at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return plain data for --json."""
        times = {"started_at": self.started_at.isoformat(), "seen_at": self.seen_at.isoformat()}
        return {**asdict(self), **times}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the gates said about a published repo; `verdict` is approved, refused or not-judged.

    `versions` are those of whoever judged, `job_id` the job that is to repair it, if one was opened.
    """

    target_repo: str
    target_revision: str
    variant: str
    verdict: str
    reason: str
    gates: dict[str, Any]
    versions: dict[str, Any]
    job_id: int | None
    audited_at: datetime
