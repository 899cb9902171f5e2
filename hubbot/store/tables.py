"""The tables: their columns, keys and indexes.

Rows never leave store/; queue.py and results.py turn them into plain dataclasses. A change here needs a
migration: `python -m hubbot.store.database check` says whether one is missing.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from hubbot.lifecycle import Stage, State


class UTCDateTime(sa.TypeDecorator[datetime]):
    """A timezone-aware time in UTC, also on SQLite, which stores no timezone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Convert to UTC; raises ValueError for a time without a timezone."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a timezone cannot be stored: {value}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return the time in UTC, with its timezone."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _values(kind: type[StrEnum]) -> sa.Enum:
    # SQLModel would store an enum by its name; the value is what every other program reads.
    return sa.Enum(
        kind,
        name=kind.__name__.lower(),
        values_callable=lambda members: [member.value for member in members],
        native_enum=False,
        create_constraint=True,
        length=16,
    )


def _json() -> sa.JSON:
    return sa.JSON(none_as_null=True)


def _time(*, null: bool) -> Any:
    return Field(sa_type=UTCDateTime, nullable=null)


class JobRow(SQLModel, table=True):
    """A job; hubbot.lifecycle.Job says what the columns mean."""

    __tablename__ = "jobs"
    __table_args__: ClassVar[Any] = (
        sa.UniqueConstraint("repo", "revision", "recipe_key", name="uq_jobs_repo_revision_recipe_key"),
        sa.Index("ix_jobs_state_rank", "state", "rank", "id"),
        sa.Index("ix_jobs_state_updated_at", "state", "updated_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    repo: str
    revision: str
    recipe_key: str
    variants: list[str] = Field(sa_column=sa.Column(_json(), nullable=False))
    stage: Stage = Field(sa_column=sa.Column(_values(Stage), nullable=False))
    state: State = Field(sa_column=sa.Column(_values(State), nullable=False))
    priority: int
    attempts: int
    not_before: datetime | None = _time(null=True)
    lease: str | None = None
    lease_until: datetime | None = _time(null=True)
    runner: str | None = None
    cancel_requested: bool
    error: dict[str, Any] | None = Field(sa_column=sa.Column(_json(), nullable=True))
    requested_by: str
    created_at: datetime = _time(null=False)
    updated_at: datetime = _time(null=False)
    predicted_ram_bytes: int | None = Field(sa_type=sa.BigInteger, nullable=True)
    predicted_disk_bytes: int | None = Field(sa_type=sa.BigInteger, nullable=True)
    runtime: str | None = None
    allow_older: bool = Field(sa_column=sa.Column(sa.Boolean(), nullable=False, server_default=sa.false()))
    # Where it stands in the queue, the smallest first; and whose disk has its work.
    rank: int = Field(sa_column=sa.Column(sa.BigInteger(), nullable=False, server_default="0"))
    home: str | None = None


class AttemptRow(SQLModel, table=True):
    """One try of one stage; rows are added and closed, never deleted."""

    __tablename__ = "attempts"

    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="jobs.id", index=True)
    stage: Stage = Field(sa_column=sa.Column(_values(Stage), nullable=False))
    started_at: datetime = _time(null=False)
    ended_at: datetime | None = _time(null=True)
    outcome: str | None = None
    error: dict[str, Any] | None = Field(sa_column=sa.Column(_json(), nullable=True))
    runner: str


class ResultRow(SQLModel, table=True):
    """What a stage found; `variant` is empty where the result is the whole job's."""

    __tablename__ = "results"
    # An empty string, not NULL: two NULLs are never equal to a unique constraint.
    __table_args__: ClassVar[Any] = (
        sa.UniqueConstraint("job_id", "kind", "variant", name="uq_results_job_id_kind_variant"),
    )

    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="jobs.id")
    kind: str
    variant: str
    data: dict[str, Any] = Field(sa_column=sa.Column(_json(), nullable=False))
    stored_at: datetime = _time(null=False)


class SightingRow(SQLModel, table=True):
    """A repo at a revision that the watch has seen."""

    __tablename__ = "sightings"
    __table_args__: ClassVar[Any] = (sa.UniqueConstraint("repo", "revision", name="uq_sightings_repo_revision"),)

    id: int | None = Field(default=None, primary_key=True)
    repo: str
    revision: str
    first_seen: datetime = _time(null=False)
    verdict: str
    job_id: int | None = Field(default=None, foreign_key="jobs.id")


class WatermarkRow(SQLModel, table=True):
    """The time up to which a watch rule has looked, in ISO format."""

    __tablename__ = "watermarks"

    rule: str = Field(primary_key=True)
    value: str


class PublicationRow(SQLModel, table=True):
    """A variant of a source in a repo on the Hub."""

    __tablename__ = "publications"
    __table_args__: ClassVar[Any] = (
        sa.UniqueConstraint(
            "source_repo", "source_revision", "variant", "target_repo", name="uq_publications_source_target"
        ),
        sa.Index("ix_publications_published_at", "published_at"),
        sa.Index("ix_publications_target_repo", "target_repo"),
    )

    id: int | None = Field(default=None, primary_key=True)
    source_repo: str
    source_revision: str
    variant: str
    target_repo: str
    target_revision: str
    published_at: datetime = _time(null=False)
    bits_per_weight: float
    bytes: int = Field(sa_type=sa.BigInteger, nullable=False)
    report: dict[str, Any] = Field(sa_column=sa.Column(_json(), nullable=False))
    model_type: str | None = None
    kl_mean: float | None = None
    memory_bytes: int | None = Field(default=None, sa_type=sa.BigInteger, nullable=True)


class AuditRow(SQLModel, table=True):
    """One run of the gates on what is published already; rows are added, never changed."""

    __tablename__ = "audits"

    id: int | None = Field(default=None, primary_key=True)
    target_repo: str = Field(index=True)
    target_revision: str
    variant: str
    verdict: str
    reason: str
    gates: dict[str, Any] = Field(sa_column=sa.Column(_json(), nullable=False))
    versions: dict[str, Any] = Field(sa_column=sa.Column(_json(), nullable=False))
    job_id: int | None = Field(default=None, foreign_key="jobs.id")
    audited_at: datetime = _time(null=False)


class OutageRow(SQLModel, table=True):
    """An outage that lasts; its row goes when it is over."""

    __tablename__ = "outages"

    runner: str = Field(primary_key=True)
    door: str = Field(primary_key=True)
    stages: list[str] = Field(sa_column=sa.Column(_json(), nullable=False))
    since: datetime = _time(null=False)
    next_probe: datetime = _time(null=False)
    probes: int
    error: dict[str, Any] = Field(sa_column=sa.Column(_json(), nullable=False))


class WorkerRow(SQLModel, table=True):
    """A machine that works on the queue; its row stays when it is gone, and says since when."""

    __tablename__ = "workers"

    runner: str = Field(primary_key=True)
    memory_bytes: int = Field(sa_type=sa.BigInteger, nullable=False)
    disk_bytes: int = Field(sa_type=sa.BigInteger, nullable=False)
    device: str
    started_at: datetime = _time(null=False)
    seen_at: datetime = _time(null=False)
