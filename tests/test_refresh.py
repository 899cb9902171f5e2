from dataclasses import replace

import pytest

from hubbot.catalogue.variants.named_variants import VARIANTS
from tests import refresh
from tests.reference import coverage, matrix, table
from tests.reference.checkpoints import cases


def test_every_generated_table_is_up_to_date() -> None:
    assert list(refresh.stale()) == [], "run `python -m tests.refresh`"


def test_a_missing_case_makes_all_tables_stale_that_count_it(monkeypatch: pytest.MonkeyPatch) -> None:
    one_more = (*cases(), replace(cases()[0], model_type="pretend"))
    monkeypatch.setattr(refresh, "cases", lambda: one_more)
    assert [told.split()[0] for told in refresh.stale()] == ["TABLE.md", "MATRIX.md"]


def test_a_new_variant_makes_the_matrix_stale_and_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = matrix.read(matrix.MATRIX.read_text("utf-8"))
    monkeypatch.setattr(refresh, "VARIANTS", {**VARIANTS, "1bit": None})
    assert [told.split()[0] for told in refresh.stale()] == ["MATRIX.md"]
    assert all(found.get("4bit", "a") in {"a", "r"} for found in judged.values())


def test_a_table_is_read_as_it_was_written() -> None:
    text = table.TABLE.read_text("utf-8")
    assert table.as_table(table.read(text), table.origin_of(text)) == text
    judged = matrix.MATRIX.read_text("utf-8")
    assert matrix.as_matrix(matrix.read(judged), table.origin_of(judged)) == judged


def test_rows_measured_later_leave_both_days_and_never_mix_versions() -> None:
    before = table.Origin(days="2026-11-21", versions="mlx 1")
    later = before.until(table.Origin(days="2026-11-28", versions="mlx 1"))
    assert later.days == "2026-11-21 to 2026-11-28"
    assert later.until(table.Origin(days="2026-11-30", versions="mlx 1")).days == "2026-11-21 to 2026-11-30"
    assert before.until(before) == before
    with pytest.raises(ValueError, match="measured with mlx 1, not with mlx 2"):
        before.until(table.Origin(days="2026-11-28", versions="mlx 2"))


def test_a_stale_readme_is_told_apart_from_stale_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "_counts", lambda _record: "hubbot reads nothing.\n")
    assert list(refresh.stale()) == ["README.md has other totals"]
