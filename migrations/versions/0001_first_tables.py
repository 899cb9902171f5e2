"""The first tables: jobs and their attempts and results, sightings and watermarks, publications."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STAGES = ("inspect", "classify", "plan", "fetch", "convert", "verify", "smoke", "card", "publish")
STATES = ("waiting", "running", "published", "skipped", "parked", "failed", "cancelled")


def _one_of(name: str, values: tuple[str, ...]) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=16)


def _time(name: str, *, null: bool) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=null)


def upgrade() -> None:
    _create_jobs()
    _create_attempts()
    _create_results()
    _create_sightings()
    op.create_table(
        "watermarks",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("rule"),
    )
    _create_publications()


def downgrade() -> None:
    for table in ("publications", "watermarks", "sightings", "results", "attempts", "jobs"):
        op.drop_table(table)


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repo", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("recipe_key", sa.String(), nullable=False),
        sa.Column("variants", sa.JSON(), nullable=False),
        sa.Column("stage", _one_of("stage", STAGES), nullable=False),
        sa.Column("state", _one_of("state", STATES), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _time("not_before", null=True),
        sa.Column("lease", sa.String(), nullable=True),
        _time("lease_until", null=True),
        sa.Column("runner", sa.String(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("requested_by", sa.String(), nullable=False),
        _time("created_at", null=False),
        _time("updated_at", null=False),
        sa.Column("predicted_ram_bytes", sa.BigInteger(), nullable=True),
        sa.Column("predicted_disk_bytes", sa.BigInteger(), nullable=True),
        sa.Column("runtime", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("repo", "revision", "recipe_key", name="uq_jobs_repo_revision_recipe_key"),
    )
    op.create_index("ix_jobs_state_priority_created_at", "jobs", ["state", "priority", "created_at"])


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("stage", _one_of("stage", STAGES), nullable=False),
        _time("started_at", null=False),
        _time("ended_at", null=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("runner", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_attempts_job_id", "attempts", ["job_id"])


def _create_results() -> None:
    op.create_table(
        "results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        _time("stored_at", null=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_id", "kind", "variant", name="uq_results_job_id_kind_variant"),
    )


def _create_sightings() -> None:
    op.create_table(
        "sightings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repo", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        _time("first_seen", null=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("repo", "revision", name="uq_sightings_repo_revision"),
    )


def _create_publications() -> None:
    op.create_table(
        "publications",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_repo", sa.String(), nullable=False),
        sa.Column("source_revision", sa.String(), nullable=False),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("target_repo", sa.String(), nullable=False),
        sa.Column("target_revision", sa.String(), nullable=False),
        _time("published_at", null=False),
        sa.Column("bits_per_weight", sa.Float(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "source_repo", "source_revision", "variant", "target_repo", name="uq_publications_source_target"
        ),
    )
