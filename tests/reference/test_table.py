from collections import Counter

from tests.checkpoints_on_disk import CONVERTIBLE, REFUSED
from tests.reference import table
from tests.reference.checkpoints import case, cases

COMMITTED = table.TABLE.read_text(encoding="utf-8")


def test_the_committed_table_names_every_case_once_and_no_other() -> None:
    assert Counter(row.case for row in table.read(COMMITTED)) == Counter(made.name for made in cases())


def test_in_the_committed_table_hubbot_is_right_about_every_case() -> None:
    verdicts = {row.case: row.hubbot for row in table.read(COMMITTED)}
    assert verdicts == {
        **{made.name: table.RIGHT for made in CONVERTIBLE},
        **{made.name: table.REFUSED for made in REFUSED},
    }


def test_rows_can_be_made_again() -> None:
    some = (case("mixtral/hub"), case("mixtral/orig"), case("mixtral/window/hub"))
    found = {row.case: (row.hubbot, row.stock) for row in table.rows(some)}
    assert found == {
        "mixtral/hub": (table.RIGHT, table.RIGHT),
        "mixtral/orig": (table.RIGHT, table.WRONG),
        "mixtral/window/hub": (table.REFUSED, table.WRONG),
    }
