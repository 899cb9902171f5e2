"""What the pages list by: a publication's model type and divergence, and indexes on what is sorted."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_jobs_state_updated_at": ("jobs", ["state", "updated_at"]),
    "ix_publications_published_at": ("publications", ["published_at"]),
    "ix_publications_target_repo": ("publications", ["target_repo"]),
}


def upgrade() -> None:
    op.add_column("publications", sa.Column("model_type", sa.String(), nullable=True))
    op.add_column("publications", sa.Column("kl_mean", sa.Float(), nullable=True))
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns)
    _fill_model_types()


def downgrade() -> None:
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table_name=table)
    op.drop_column("publications", "kl_mean")
    op.drop_column("publications", "model_type")


def _fill_model_types() -> None:
    """Take the model type of what is published already from the job that made it, where it is still known."""
    connection = op.get_bind()
    known = connection.execute(
        sa.text(
            # As text, because PostgreSQL compares no JSON, so DISTINCT would fail.
            "SELECT DISTINCT jobs.repo, jobs.revision, CAST(results.data AS TEXT) FROM publications "
            "JOIN jobs ON jobs.repo = publications.source_repo AND jobs.revision = publications.source_revision "
            "JOIN results ON results.job_id = jobs.id AND results.kind = 'checkpoint'"
        )
    ).all()
    filling = sa.text(
        "UPDATE publications SET model_type = :model_type "
        "WHERE source_repo = :repo AND source_revision = :revision"
    )
    for repo, commit, data in known:
        model_type = json.loads(data).get("model_type")
        connection.execute(filling, {"model_type": model_type, "repo": repo, "revision": commit})
