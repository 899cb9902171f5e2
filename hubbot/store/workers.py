"""The machines that work on the queue: what each has, and when it last gave a sign of life. It decides nothing."""

from dataclasses import asdict
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col, select

from hubbot.store.database import reading, upsert, writing
from hubbot.store.records import Machine
from hubbot.store.tables import WorkerRow

# A machine that has not been seen for so long is gone, and its jobs are anybody's.
ALIVE = timedelta(minutes=5)


class Workers:
    """The machines of one database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def put(self, machine: Machine) -> None:
        """Store a machine's sign of life; the time of its start is the latest that was stored."""
        values = asdict(machine)
        with writing(self._engine) as session:
            upsert(session, WorkerRow, values, key=("runner",), update=tuple(values))

    def all(self) -> list[Machine]:
        """Return every machine that ever worked here, by name."""
        with reading(self._engine) as session:
            rows = session.exec(select(WorkerRow).order_by(col(WorkerRow.runner))).all()
            return [Machine(**row.model_dump()) for row in rows]


def alive(session: Session, now: datetime) -> list[Machine]:
    """Return the machines that were seen lately."""
    rows = session.exec(select(WorkerRow).where(col(WorkerRow.seen_at) > now - ALIVE)).all()
    return [Machine(**row.model_dump()) for row in rows]
