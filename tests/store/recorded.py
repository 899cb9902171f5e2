"""What is written down of sightings and audits, read straight from the tables: the product only adds to them."""

from sqlmodel import Session, col, select

from hubbot.store.records import Audit, Sighting
from hubbot.store.results import Results
from hubbot.store.tables import AuditRow, SightingRow


def sightings(results: Results) -> list[Sighting]:
    """Return what watching has come across, the newest first."""
    with Session(results._engine) as session:
        rows = session.exec(select(SightingRow).order_by(col(SightingRow.id).desc())).all()
        return [Sighting(**row.model_dump(exclude={"id"})) for row in rows]


def audits(results: Results, target_repo: str | None = None) -> list[Audit]:
    """Return the audits, the newest first; of one published repo where it is named."""
    with Session(results._engine) as session:
        rows = session.exec(select(AuditRow).order_by(col(AuditRow.id).desc())).all()
        found = [Audit(**row.model_dump(exclude={"id"})) for row in rows]
    return [audit for audit in found if target_repo in {None, audit.target_repo}]
