"""Bring every generated table up to date: `python -m tests.refresh [model_type ...]`.

python -m tests.refresh             measures what the tables lack, and writes all of them
python -m tests.refresh NAME        also measures the cases of that model type again
python -m tests.refresh --again     measures everything again: an hour
python -m tests.refresh --check     writes nothing, and fails if a table is not up to date
"""

import argparse
import sys
from collections.abc import Collection, Iterator

from hubbot.catalogue.variants.named_variants import VARIANTS
from tests import make_defaults, source_map
from tests.reference import coverage, matrix, table
from tests.reference.checkpoints import Case, cases
from tests.sabotage import resolution
from tests.sabotage import table as sabotage


def main() -> None:
    """Write the tables, or say which are not up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_types", nargs="*", metavar="NAME", help="a model type to measure again")
    parser.add_argument("--again", action="store_true", help="measure everything again")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a table is not up to date")
    options = parser.parse_args()
    if options.check:
        found = list(stale())
        print("\n".join(found) or "every table is up to date")
        sys.exit(bool(found))
    make_defaults.PATH.write_text(make_defaults.render(), encoding="utf-8")
    again = {made.model_type for made in cases()} if options.again else set(options.model_types)
    refresh_table(again)
    refresh_matrix(again)
    if options.again or not sabotage.is_complete(sabotage.README.read_text("utf-8")):
        sabotage.README.write_text("\n".join(sabotage.render()) + "\n", encoding="utf-8")
    resolution.PATH.write_text(resolution.render(), encoding="utf-8")
    refresh_coverage()
    contributing = source_map.CONTRIBUTING.read_text("utf-8")
    source_map.CONTRIBUTING.write_text(source_map.as_contributing(contributing), encoding="utf-8")


def stale() -> Iterator[str]:
    """Yield, without measuring anything, a sentence for every table that is not up to date."""
    rows = table.read(table.TABLE.read_text("utf-8"))
    names = [made.name for made in cases()]
    if [row.case for row in rows] != names:
        yield f"{table.TABLE.name} does not have every case once"
    text = matrix.MATRIX.read_text("utf-8")
    if list(matrix.read(text)) != names or matrix.columns_of(text) != list(VARIANTS):
        yield f"{matrix.MATRIX.name} does not have every case once in every variant"
    if not sabotage.is_complete(sabotage.README.read_text("utf-8")):
        yield "tests/sabotage/README.md does not have every sabotage once"
    for made in (make_defaults, resolution):
        if made.PATH.read_text("utf-8") != made.render():
            yield f"{made.PATH.name} is not what its sources say"
    text = coverage.COVERAGE.read_text("utf-8")
    if coverage.as_coverage(rows, table.origin_of(table.TABLE.read_text("utf-8"))) != text:
        yield f"{coverage.COVERAGE.name} is not what the catalogue and {table.TABLE.name} say"
    readme = coverage.README.read_text("utf-8")
    if coverage.as_readme(readme, rows) != readme:
        yield "README.md has other totals"
    contributing = source_map.CONTRIBUTING.read_text("utf-8")
    if source_map.as_contributing(contributing) != contributing:
        yield "CONTRIBUTING.md does not have every file of hubbot/ in its map"


def refresh_table(again: Collection[str]) -> None:
    """Write TABLE.md, with the rows that it has but for the model types `again`."""
    text = table.TABLE.read_text("utf-8")
    kept = {row.case: row for row in table.read(text) if row.model_type not in again}
    missing = list(_missing(kept))
    origin = _origin(text, is_kept=len(missing) < len(cases()), is_measured=bool(missing))
    for row in table.rows(missing):
        print(table.shown(row), flush=True)
        kept[row.case] = row
    table.TABLE.write_text(table.as_table([kept[made.name] for made in cases()], origin), encoding="utf-8")


def refresh_matrix(again: Collection[str]) -> None:
    """Write MATRIX.md, with the verdicts that it has but for the model types `again`."""
    text = matrix.MATRIX.read_text("utf-8")
    read = matrix.read(text)
    kept = {made.name: dict(read.get(made.name, {})) for made in cases() if made.model_type not in again}
    wanted = {
        made.name: tuple(one for one in VARIANTS if one not in kept.setdefault(made.name, {})) for made in cases()
    }
    wanted = {name: variants for name, variants in wanted.items() if variants}
    origin = _origin(text, is_kept=any(kept.values()), is_measured=bool(wanted))
    for name, found in matrix.judgements(wanted):
        print(f"{name:44} {' '.join(found.values())}", flush=True)
        kept[name] |= found
    matrix.MATRIX.write_text(matrix.as_matrix(kept, origin), encoding="utf-8")


def refresh_coverage() -> None:
    """Write COVERAGE.md and the totals of the README, from the catalogue and TABLE.md."""
    text = table.TABLE.read_text("utf-8")
    rows = table.read(text)
    coverage.COVERAGE.write_text(coverage.as_coverage(rows, table.origin_of(text)), encoding="utf-8")
    readme = coverage.README.read_text("utf-8")
    coverage.README.write_text(coverage.as_readme(readme, rows), encoding="utf-8")


def _missing(kept: Collection[str]) -> Iterator[Case]:
    return (made for made in cases() if made.name not in kept)


def _origin(text: str, *, is_kept: bool, is_measured: bool) -> table.Origin:
    if not is_kept:
        return table.now()
    before = table.origin_of(text)
    if not is_measured:
        return before
    try:
        return before.until(table.now())
    except ValueError as error:
        raise SystemExit(f"{error}: measure everything --again") from error


if __name__ == "__main__":
    main()
