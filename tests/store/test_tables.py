"""What the columns accept and how they store it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from hubbot.lifecycle import Stage, State
from hubbot.store.database import writing
from hubbot.store.queue import Queue
from hubbot.store.tables import UTCDateTime


@pytest.mark.parametrize("column", [*(("state", s) for s in State), *(("stage", s) for s in Stage)])
def test_every_state_and_stage_is_stored_by_its_value(
    queue: Queue, engine: sa.Engine, column: tuple[str, State | Stage]
) -> None:
    job, _ = queue.enqueue("org/moe", "a", (), "k", requested_by="test")
    name, value = column
    with engine.connect() as connection:
        connection.execute(sa.text(f"UPDATE jobs SET {name} = :value"), {"value": value.value})
        connection.commit()
        assert connection.scalar(sa.text(f"SELECT {name} FROM jobs")) == value.value
    assert getattr(queue.job(job.id), name) is value


def test_an_unknown_state_is_refused_by_the_database(queue: Queue, engine: sa.Engine) -> None:
    queue.enqueue("org/moe", "a", (), "k", requested_by="test")
    with pytest.raises(sa.exc.IntegrityError, match=r"(?i)check constraint"), writing(engine) as session:
        session.execute(sa.text("UPDATE jobs SET state = 'WAITING'"))


def test_a_time_of_another_zone_comes_back_in_utc(engine: sa.Engine) -> None:
    kind, dialect = UTCDateTime(), engine.dialect
    there = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    stored = kind.process_bind_param(there, dialect)
    assert stored == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert kind.process_result_value(datetime(2026, 3, 1, 12), dialect) == there  # noqa: DTZ001
    assert kind.process_result_value(there, dialect) == there


def test_a_time_without_a_zone_is_a_mistake(engine: sa.Engine) -> None:
    with pytest.raises(ValueError, match="without a timezone"):
        UTCDateTime().process_bind_param(datetime(2026, 3, 1), engine.dialect)  # noqa: DTZ001


def test_a_missing_error_is_null_and_not_the_word(queue: Queue, engine: sa.Engine) -> None:
    queue.enqueue("org/moe", "a", (), "k", requested_by="test")
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM jobs WHERE error IS NULL")) == 1
