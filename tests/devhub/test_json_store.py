from __future__ import annotations

from pathlib import Path

from hubbot.devhub.json_store import JsonStore


def test_a_record_is_there_until_it_is_dropped(tmp_path: Path) -> None:
    store = JsonStore(tmp_path / "store")
    assert store.every() == []
    store.put("a1", {"x": 1})
    assert store.find("a1") == {"x": 1}
    assert JsonStore(tmp_path / "store").every() == [{"x": 1}]
    store.drop("a1")
    assert store.find("a1") is None


def test_a_key_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    assert JsonStore(tmp_path / "store").find("../secret") is None
