"""A job's place in the queue, which waiting improves; and the runner that has its work on its disk."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SECONDS_PER_PRIORITY = 6 * 3600


def upgrade() -> None:
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.add_column(sa.Column("rank", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("home", sa.String(), nullable=True))
        batch_op.drop_index("ix_jobs_state_priority_created_at")
        batch_op.create_index("ix_jobs_state_rank", ["state", "rank", "id"], unique=False)
    lite = op.get_bind().dialect.name == "sqlite"
    since = "strftime('%s', created_at)" if lite else "extract(epoch FROM created_at)"
    op.execute(f"UPDATE jobs SET rank = CAST({since} AS BIGINT) - priority * {SECONDS_PER_PRIORITY}")  # noqa: S608


def downgrade() -> None:
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.drop_index("ix_jobs_state_rank")
        batch_op.create_index(
            "ix_jobs_state_priority_created_at", ["state", "priority", "created_at"], unique=False
        )
        batch_op.drop_column("home")
        batch_op.drop_column("rank")
