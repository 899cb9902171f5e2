import re
from collections import Counter

import pytest

from tests.checkpoints_on_disk import CONVERTIBLE, REFUSED
from tests.reference import table
from tests.reference.checkpoints import case, cases

COMMITTED = table.TABLE.read_text(encoding="utf-8")
CELLS = {line.split(" | ")[0].removeprefix("| "): line.strip("| ").split(" | ") for line in COMMITTED.splitlines()}


def test_the_committed_table_names_every_case_once_and_no_other() -> None:
    assert Counter(table.named(COMMITTED)) == Counter(made.name for made in cases())


def test_in_the_committed_table_hubbot_is_right_about_every_case() -> None:
    verdicts = {name: CELLS[name][1] for name in table.named(COMMITTED)}
    assert verdicts == {
        **{made.name: table.RIGHT for made in CONVERTIBLE},
        **{made.name: table.REFUSED for made in REFUSED},
    }


def test_the_readme_shows_the_totals_of_the_committed_table_with_its_day() -> None:
    readme = table.README.read_text(encoding="utf-8").partition(table.BEGIN)[2].partition(table.END)[0]
    total = next(line for line in COMMITTED.splitlines() if line.startswith("Of "))
    assert total in readme
    day = re.search(r"Measured (\d{4}-\d\d-\d\d)", COMMITTED)
    assert day is not None
    assert day[0] in readme
    assert all(f"| `{model_type}` |" in readme for model_type in {made.model_type for made in cases()})


def test_rows_can_be_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    some = (case("mixtral/hub"), case("mixtral/orig"), case("mixtral/window/hub"))
    monkeypatch.setattr(table, "cases", lambda: some)
    found = {row.case: (row.hubbot, row.stock) for row in table.rows([])}
    assert found == {
        "mixtral/hub": (table.RIGHT, table.RIGHT),
        "mixtral/orig": (table.RIGHT, table.WRONG),
        "mixtral/window/hub": (table.REFUSED, table.WRONG),
    }
