from __future__ import annotations

from pathlib import Path

from hubbot.devhub.json_store import Shelf


def test_a_record_is_there_until_it_is_dropped(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf")
    assert shelf.every() == []
    shelf.put("a1", {"x": 1})
    assert shelf.find("a1") == {"x": 1}
    assert Shelf(tmp_path / "shelf").every() == [{"x": 1}]
    shelf.drop("a1")
    assert shelf.find("a1") is None


def test_a_key_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    assert Shelf(tmp_path / "shelf").find("../secret") is None
