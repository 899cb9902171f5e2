"""The database of a data folder lies in that folder, whatever the folder is called."""

from pathlib import Path

import pytest

from hubbot.jobs.open_records import open_records
from hubbot.settings import Settings

NAMES = [
    "with space", "q'uo\"te", "50% off", "%41", "%2e%2e", "a?b=c", "?mode=memory", "a#b", "a;b", "a&b", "[x]",
    "{y}", "a:b@c", "back\\slash", "new\nline", "-dash", "\u65e5\u672c", "e\u0301", "a\u202eb", "$HOME", "~",
    "file:x",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_data_folder_of_any_name_holds_its_database_itself(tmp_path: Path, name: str) -> None:
    chosen = Settings(data_dir=tmp_path / name, org="org", variants=("4bit",))
    for created in (True, False):
        with open_records(chosen) as records:
            job, is_new = records.queue.enqueue("a/b", "a" * 40, ("4bit",), "4bit", requested_by="test")
            records.check_place()
            records.check()
        assert (job.id, is_new) == (1, created)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "hubbot.db").is_file()
