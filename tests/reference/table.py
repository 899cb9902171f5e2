"""Every committed case converted by hubbot and by mlx_lm.convert, both judged by the logits of transformers.

    python -m tests.reference.table [model_type ...]   prints; `python -m tests.refresh` writes TABLE.md

Run by hand, since it takes minutes; a test says when the committed table misses a case.
"""

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlx_lm.utils import load_model

from hubbot.errors import HubbotError
from tests.checkpoints_on_disk import answer, converted, look, relative, stock_model
from tests.checks.stock import borrow_tokenizer, stock_convert
from tests.reference.checkpoints import Case, cases, write

HERE = Path(__file__).parent
TABLE = HERE / "TABLE.md"
RIGHT, WRONG, FAILED, REFUSED = "right", "silently wrong", "failed", "refused"
# mlx_lm.convert rounds what is not float32 to bfloat16, so that of such sources no more can be asked of it.
ROUNDED = 5e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case: what each converter made of it, and the relative error of the logits where there are any."""

    case: str
    model_type: str
    hubbot: str
    hubbot_error: str
    stock: str
    stock_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """On which days a table was measured, and with which versions."""

    days: str
    versions: str

    @property
    def sentence(self) -> str:
        """Say so."""
        return f"Measured {self.days} with {self.versions}."

    def until(self, today: "Origin") -> "Origin":
        """Return the origin of rows of which some were measured today; ValueError where the versions differ."""
        if self.versions != today.versions:
            raise ValueError(f"the rows that stay were measured with {self.versions}, not with {today.versions}")
        first = self.days.partition(" to ")[0]
        return today if first == today.days else Origin(days=f"{first} to {today.days}", versions=self.versions)


def now() -> Origin:
    """Return today's origin."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("mlx-lm", "mlx"))
    day = datetime.now(tz=UTC).date().isoformat()
    return Origin(days=day, versions=f"{versions}; references by transformers 5.23.0")


def origin_of(text: str) -> Origin:
    """Return the origin that a table states; ValueError where it states none."""
    found = re.search(r"Measured (\S+(?: to \S+)?) with (.*?)\.(?: |$)", text, re.MULTILINE)
    if found is None:
        raise ValueError("the table does not say when it was measured")
    return Origin(days=found[1], versions=found[2])


def rows(some: Iterable[Case]) -> Iterator[Row]:
    """Yield a row for each of the cases, a second or so after the other."""
    for made in some:
        with tempfile.TemporaryDirectory(prefix="hubbot-table-") as name:
            source = borrow_tokenizer(write(made, Path(name) / "source"))
            ours, our_error = hubbot_on(made, source, Path(name) / "hubbot")
            theirs, their_error = stock_on(made, source, Path(name) / "stock")
        yield Row(
            case=made.name,
            model_type=made.model_type,
            hubbot=ours,
            hubbot_error=our_error,
            stock=theirs,
            stock_error=their_error,
        )


def hubbot_on(made: Case, source: Path, out: Path) -> tuple[str, str]:
    """Return hubbot's verdict on a case, and the error of its artifact or the name of its refusal."""
    try:
        folder = converted(look(source), out, "fp32")["fp32"]
    except HubbotError as error:
        return REFUSED, type(error).__name__
    return _compared(made, stock_model(folder), made.tolerance)


def stock_on(made: Case, source: Path, out: Path) -> tuple[str, str]:
    """Return what mlx_lm.convert makes of a case, and the error of its artifact or the name of what it raised."""
    rounded = not {"F32"} >= {made.record["forms"][made.form]["dtype"]}
    try:
        folder = stock_convert(source, out, mode=None, bits=0, group_size=0)
        load_model(folder, strict=True)
        return _compared(made, stock_model(folder), max(made.tolerance, ROUNDED if rounded else 0.0))
    except Exception as error:  # noqa: BLE001 - whatever it raises, nothing was converted
        return (REFUSED if made.expected == "refuse" else FAILED), type(error).__name__


def _compared(made: Case, model: Any, allowed: float) -> tuple[str, str]:
    error = relative(answer(model, made.ids), made.logits)
    return (RIGHT if error < allowed else WRONG), f"{error:.0e}"


def shown(row: Row) -> str:
    """Return a row as a line for people."""
    return f"{row.case:44} {row.hubbot:15} {row.hubbot_error:18} {row.stock:15} {row.stock_error}"


def as_table(made: Sequence[Row], origin: Origin) -> str:
    """Return TABLE.md."""
    lines = [
        "# Every reference, converted",
        "",
        f"{origin.sentence} Relative error of the float32 logits against those of transformers.",
        "",
        totals(made),
        "",
        "| case | hubbot | | mlx_lm.convert | |",
        "|---|---|---|---|---|",
        *(f"| {r.case} | {r.hubbot} | {r.hubbot_error} | {r.stock} | {r.stock_error} |" for r in made),
    ]
    return "\n".join(lines) + "\n"


def read(text: str) -> list[Row]:
    """Return the rows of TABLE.md."""
    found = re.findall(r"^\| ([a-z0-9_]+/[a-z0-9_/]+) \| (.*) \|$", text, re.MULTILINE)
    return [
        Row(
            case=name,
            model_type=name.partition("/")[0],
            hubbot=hubbot,
            hubbot_error=our_error,
            stock=stock,
            stock_error=their_error,
        )
        for name, cells in found
        for hubbot, our_error, stock, their_error in [cells.split(" | ")]
    ]


def as_summary(made: Sequence[Row]) -> str:
    """Return a line per model type."""
    lines = [
        "| model type | cases | hubbot: right | refused | `mlx_lm`: right | silently wrong | failed | refused |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model_type in sorted({row.model_type for row in made}):
        some = [row for row in made if row.model_type == model_type]
        ours, theirs = Counter(row.hubbot for row in some), Counter(row.stock for row in some)
        counts = [ours[RIGHT], ours[REFUSED], *(theirs[verdict] for verdict in (RIGHT, WRONG, FAILED, REFUSED))]
        shown = " | ".join(str(count or "") for count in counts)
        lines.append(f"| `{model_type}` | {len(some)} | {shown} |")
    return "\n".join(lines)


def totals(made: Sequence[Row]) -> str:
    """Return one sentence that counts the verdicts of both converters."""
    ours, theirs = Counter(row.hubbot for row in made), Counter(row.stock for row in made)
    return (
        f"Of {len(made)} cases hubbot converts {ours[RIGHT]} right, {ours[WRONG]} wrong, and refuses "
        f"{ours[REFUSED]}; `mlx_lm.convert` converts {theirs[RIGHT]} right, {theirs[WRONG]} silently wrong, fails "
        f"on {theirs[FAILED]} and refuses {theirs[REFUSED]}."
    )


def main() -> None:
    """Print the rows of the model types named, or of all."""
    made = []
    for row in rows([one for one in cases() if not sys.argv[1:] or one.model_type in sys.argv[1:]]):
        print(shown(row), flush=True)
        made.append(row)
    print(totals(made))


if __name__ == "__main__":
    main()
