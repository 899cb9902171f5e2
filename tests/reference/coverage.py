"""What hubbot converts, as tables and as totals: COVERAGE.md, and the lines of the README that sum it up.

`python -m tests.refresh` writes both.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubbot.catalogue.coverage import CONVERTIBLE, coverage
from hubbot.cli.layouts import as_markdown
from tests.reference import table

COVERAGE = Path(__file__).parent / "COVERAGE.md"
README = COVERAGE.parents[2] / "README.md"
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"


def as_coverage(rows: Sequence[table.Row], origin: table.Origin) -> str:
    """Return COVERAGE.md."""
    return f"""# What hubbot converts

`python -m tests.refresh` writes this file. `hubbot layouts` prints the same with the evidence.

{as_markdown(coverage())}

## Every reference, converted

Every case of `tests/reference`, converted by hubbot and by `mlx_lm.convert`, the logits compared with those of
transformers. [TABLE.md](TABLE.md) has them case by case, [MATRIX.md](MATRIX.md) in every variant.

{origin.sentence} {table.totals(rows)}

{table.as_summary(rows)}
"""


def as_readme(text: str, rows: Sequence[table.Row]) -> str:
    """Return the README's text with the totals between their marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{_counts(coverage())}\n{table.totals(rows)}\n{END}{tail}"


def _counts(record: dict[str, Any]) -> str:
    convertible = [kind for kind in record["model_types"] if kind["state"] == CONVERTIBLE]
    others = len(record["model_types"]) - len(convertible)
    return (
        f"hubbot reads {len(record['layouts'])} expert layouts and {len(record['packings'])} packings, converts "
        f"{len(convertible)} model types, and refuses {others} more that it knows by name.\n"
    )
