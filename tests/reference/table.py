"""Every committed case converted by hubbot and by mlx_lm.convert, both judged by the logits of transformers.

    python -m tests.reference.table [model_type ...]   prints; of all it also writes TABLE.md and the README
    python -m tests.reference.table --matrix           every case in every variant, judged: writes MATRIX.md

Run by hand, since it takes minutes; a test says when the committed tables miss a case.
"""

import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mlx_lm.utils import load_model

from hubbot.catalogue.variants.named_variants import VARIANTS
from hubbot.errors import HubbotError
from tests.checkpoints_on_disk import answer, converted, judged, look, relative, stock_model
from tests.checks.stock import borrow_tokenizer, stock_convert
from tests.reference.checkpoints import Case, case, cases, write

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"
TABLE, MATRIX = HERE / "TABLE.md", HERE / "MATRIX.md"
BEGIN, END = "<!-- references: begin -->", "<!-- references: end -->"
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


def rows(wanted: Sequence[str]) -> Iterator[Row]:
    """Yield a row for every case of the model types `wanted`, or of all."""
    for made in cases():
        if wanted and made.model_type not in wanted:
            continue
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


def as_table(made: Sequence[Row], day: str) -> str:
    """Return TABLE.md."""
    lines = [
        "# Every reference, converted",
        "",
        f"{_origin(day)} Relative error of the float32 logits against those of transformers.",
        "",
        totals(made),
        "",
        "| case | hubbot | | mlx_lm.convert | |",
        "|---|---|---|---|---|",
        *(f"| {r.case} | {r.hubbot} | {r.hubbot_error} | {r.stock} | {r.stock_error} |" for r in made),
    ]
    return "\n".join(lines) + "\n"


def as_summary(made: Sequence[Row], day: str) -> str:
    """Return what the README shows: the totals, and a line per model type."""
    lines = [
        totals(made),
        "",
        "| model type | cases | hubbot: right | refused | `mlx_lm`: right | silently wrong | failed | refused |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model_type in sorted({row.model_type for row in made}):
        some = [row for row in made if row.model_type == model_type]
        ours, theirs = Counter(row.hubbot for row in some), Counter(row.stock for row in some)
        counts = [ours[RIGHT], ours[REFUSED], *(theirs[verdict] for verdict in (RIGHT, WRONG, FAILED, REFUSED))]
        shown = " | ".join(str(count or "") for count in counts)
        lines.append(f"| `{model_type}` | {len(some)} | {shown} |")
    return "\n".join([*lines, "", _origin(day) + " Case by case: tests/reference/TABLE.md."])


def totals(made: Sequence[Row]) -> str:
    """Return one sentence that counts the verdicts of both converters."""
    ours, theirs = Counter(row.hubbot for row in made), Counter(row.stock for row in made)
    return (
        f"Of {len(made)} cases hubbot converts {ours[RIGHT]} right, {ours[WRONG]} wrong, and refuses "
        f"{ours[REFUSED]}; `mlx_lm.convert` converts {theirs[RIGHT]} right, {theirs[WRONG]} silently wrong, fails "
        f"on {theirs[FAILED]} and refuses {theirs[REFUSED]}."
    )


def _origin(day: str) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("mlx-lm", "mlx"))
    return f"Measured {day} with {versions}; references by transformers 5.23.0."


def written(text: str, summary: str) -> str:
    """Return the README's text with the summary between its markers."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{summary}\n{END}{tail}"


def named(text: str) -> list[str]:
    """Return the cases that a table names, in its order."""
    return re.findall(r"^\| ([a-z0-9_]+/[a-z0-9_/]+) \|", text, re.MULTILINE)


def matrix(day: str) -> Iterator[str]:
    """Yield the lines of MATRIX.md: what the referee says of every case in every variant."""
    yield "# Every reference in every variant, judged"
    yield ""
    yield f"{_origin(day)} a: approved, r: refused by name before anything was made, X: refused by the referee."
    yield ""
    yield f"| case | {' | '.join(VARIANTS)} |"
    yield f"|---|{'---|' * len(VARIANTS)}"
    # New programs, for MLX's threads and locks do not survive a fork.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for name, found in pool.map(_judgements, [made.name for made in cases()]):
            yield f"| {name} | {' | '.join(found)} |"


def _judgements(name: str) -> tuple[str, list[str]]:
    with tempfile.TemporaryDirectory(prefix="hubbot-matrix-") as folder:
        source = write(case(name), Path(folder) / "source")
        return name, [_judgement(source, Path(folder) / "out", variant) for variant in VARIANTS]


def _judgement(source: Path, out: Path, variant: str) -> str:
    try:
        seen = look(source)
        folder = converted(seen, out, variant)[variant]
    except HubbotError:
        return "r"
    verdict = judged(seen, folder).verdict
    shutil.rmtree(out)
    return "a" if verdict == "approved" else "X"


def main() -> None:
    """Print the tables, and write them where they cover every case."""
    day = datetime.now(tz=UTC).date().isoformat()
    if sys.argv[1:] == ["--matrix"]:
        MATRIX.write_text(_printed(matrix(day)), encoding="utf-8")
        return
    made = []
    for row in rows(sys.argv[1:]):
        made.append(row)
        print(f"{row.case:44} {row.hubbot:15} {row.hubbot_error:18} {row.stock:15} {row.stock_error}", flush=True)
    print(totals(made))
    if not sys.argv[1:]:
        TABLE.write_text(as_table(made, day), encoding="utf-8")
        README.write_text(written(README.read_text("utf-8"), as_summary(made, day)), encoding="utf-8")


def _printed(lines: Iterable[str]) -> str:
    shown = []
    for line in lines:
        shown.append(line)
        print(line, flush=True)
    return "\n".join(shown) + "\n"


if __name__ == "__main__":
    main()
