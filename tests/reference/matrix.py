"""What the referee says of every reference in every variant: MATRIX.md, which `python -m tests.refresh` writes."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from hubbot.catalogue.variants.named_variants import VARIANTS
from hubbot.errors import HubbotError
from tests.checkpoints_on_disk import converted, judged, look
from tests.reference.checkpoints import case, cases, write
from tests.reference.table import Origin

MATRIX = Path(__file__).parent / "MATRIX.md"
APPROVED, NOT_MADE, DISPROVED, UNKNOWN = "a", "r", "X", "?"

_MEANING = (
    "a: approved, r: refused by name before anything was made, X: refused by the referee, ?: not judged yet "
    "(`python -m tests.refresh` does)."
)

# Case, variant, verdict.
Judgements = Mapping[str, Mapping[str, str]]


def judgements(wanted: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each case with the verdicts of the variants wanted of it; a second or so a variant."""
    # New programs, for MLX's threads and locks do not survive a fork.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        yield from pool.map(_judgements, wanted, wanted.values())


def as_matrix(found: Judgements, origin: Origin) -> str:
    """Return MATRIX.md."""
    lines = [
        "# Every reference in every variant, judged",
        "",
        f"{origin.sentence} {_MEANING}",
        "",
        f"| case | {' | '.join(VARIANTS)} |",
        f"|---|{'---|' * len(VARIANTS)}",
        *(
            f"| {made.name} | {' | '.join(found.get(made.name, {}).get(one, UNKNOWN) for one in VARIANTS)} |"
            for made in cases()
        ),
    ]
    return "\n".join(lines) + "\n"


def read(text: str) -> Judgements:
    """Return the verdicts of MATRIX.md by case and variant, of the variants that there are today."""
    columns = columns_of(text)
    lines = re.findall(r"^\| ([a-z0-9_]+/[a-z0-9_/]+) \| (.*) \|$", text, re.MULTILINE)
    return {
        name: {
            one: cell
            for one, cell in zip(columns, cells.split(" | "), strict=True)
            if one in VARIANTS and cell != UNKNOWN
        }
        for name, cells in lines
    }


def columns_of(text: str) -> list[str]:
    """Return the variants that MATRIX.md has a column for."""
    return list(re.findall(r"^\| case \| (.*) \|$", text, re.MULTILINE)[0].split(" | "))


def _judgements(name: str, variants: Sequence[str]) -> tuple[str, dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="hubbot-matrix-") as folder:
        source = write(case(name), Path(folder) / "source")
        return name, {variant: _judgement(source, Path(folder) / "out", variant) for variant in variants}


def _judgement(source: Path, out: Path, variant: str) -> str:
    try:
        seen = look(source)
        folder = converted(seen, out, variant)[variant]
    except HubbotError:
        return NOT_MADE
    verdict = judged(seen, folder).verdict
    shutil.rmtree(out)
    return APPROVED if verdict == "approved" else DISPROVED
