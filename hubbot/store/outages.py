"""What runners wait for, by door: the Hub, the token, the disk, or a person. It decides nothing."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col, select

from hubbot.lifecycle import Stage
from hubbot.store.database import finds_some, reading, upsert, writing
from hubbot.store.records import Outage
from hubbot.store.tables import OutageRow

# Stands in place of a runner's name, which it cannot be.
EVERY_RUNNER = "*"
_ANY = sa.select(sa.literal(1)).select_from(OutageRow).limit(1)


class Outages:
    """The outages in one database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def all(self, runner: str | None = None) -> list[Outage]:
        """Return what lasts, of one runner (and what is asked of every runner) or of all, the oldest first."""
        # Most of the time there is none, and runners ask every few seconds.
        if not finds_some(self._engine, _ANY):
            return []
        query = select(OutageRow).order_by(col(OutageRow.since))
        if runner is not None:
            query = query.where(col(OutageRow.runner).in_([runner, EVERY_RUNNER]))
        with reading(self._engine) as session:
            return [_outage(row.model_dump()) for row in session.exec(query).all()]

    def put(self, outage: Outage) -> None:
        """Store an outage, or when it is looked at next; the time of its beginning stays."""
        values = {**asdict(outage), "stages": [stage.value for stage in outage.stages]}
        update = ("stages", "next_probe", "probes", "error")
        with writing(self._engine) as session:
            upsert(session, OutageRow, values, key=("runner", "door"), update=update)

    def end(self, runner: str, door: str) -> bool:
        """Forget an outage that is over; return whether it was known, so that of several who ask one says so."""
        over = sa.delete(OutageRow).where(col(OutageRow.runner) == runner, col(OutageRow.door) == door)
        with writing(self._engine) as session:
            return session.execute(over.returning(col(OutageRow.door))).first() is not None


def _outage(values: dict[str, Any]) -> Outage:
    since: datetime = values["since"]
    return Outage(**{**values, "since": since, "stages": tuple(Stage(stage) for stage in values["stages"])})
