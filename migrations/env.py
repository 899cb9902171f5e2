"""Alembic's entry: hubbot.store.database builds the Config and lends its open transaction."""

from typing import Any, Literal

from alembic import context
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

from hubbot.store.tables import UTCDateTime


def plain_type(kind: str, item: Any, _: object) -> str | Literal[False]:
    """Spell a column's type without hubbot and sqlmodel: a migration must not change when they do."""
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, AutoString):
        return "sa.String()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    # SQLite cannot change a column in place; batches rebuild the table.
    render_as_batch=True,
    render_item=plain_type,
)
with context.begin_transaction():
    context.run_migrations()
