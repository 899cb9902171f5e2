"""The migrations, from nothing to the tables and back."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from hubbot.store.database import differences, migrations_folder, open_engine, upgrade


def test_the_migrations_make_the_tables_of_the_models_from_nothing(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/hubbot.db")
    assert differences(engine) != []
    upgrade(engine)
    assert differences(engine) == []
    engine.dispose()


def test_upgrade_works_from_another_folder_and_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine = open_engine("sqlite:///hubbot.db")
    upgrade(engine)
    upgrade(engine)
    assert differences(engine) == []
    engine.dispose()


def test_every_migration_can_be_undone(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/hubbot.db")
    upgrade(engine)
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_the_migrations_are_one_line_of_numbers() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    script = ScriptDirectory.from_config(config)
    numbers = [revision.revision for revision in script.walk_revisions()]
    assert numbers == [f"{number:04d}" for number in range(len(numbers), 0, -1)]
    assert len(script.get_heads()) == 1


def test_jobs_keep_their_order_when_their_places_are_written_down(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/hubbot.db")
    upgrade(engine)
    rows = [("late-urgent", 10, "2026-03-02"), ("early", 0, "2026-03-01"), ("late", 0, "2026-03-03")]
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
        for repo, priority, day in rows:
            connection.exec_driver_sql(
                "INSERT INTO jobs (repo, revision, recipe_key, variants, stage, state, priority, attempts,"
                " cancel_requested, requested_by, created_at, updated_at) VALUES"
                f" ('{repo}', 'a', 'k', '[]', 'inspect', 'waiting', {priority}, 0, 0, 't',"
                f" '{day} 12:00:00', '{day} 12:00:00')"
            )
    upgrade(engine)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT repo, rank FROM jobs ORDER BY rank").all()
    assert [repo for repo, _ in found] == ["late-urgent", "early", "late"]
    noon = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp())
    assert [rank - noon for _, rank in found] == [86400 - 10 * 6 * 3600, 0, 2 * 86400]
    engine.dispose()
