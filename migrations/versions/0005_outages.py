"""Outages: what a runner waits for, since when, and when it looks again."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outages",
        sa.Column("runner", sa.String(), nullable=False),
        sa.Column("door", sa.String(), nullable=False),
        sa.Column("stages", sa.JSON(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_probe", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("error", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("runner", "door"),
    )


def downgrade() -> None:
    op.drop_table("outages")
