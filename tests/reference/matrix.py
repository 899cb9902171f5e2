"""What the referee says of every reference in every variant: MATRIX.md, which `python -m tests.refresh` writes."""

import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from hubbot.catalogue.variants.named_variants import VARIANTS
from hubbot.errors import HubbotError
from tests.checkpoints_on_disk import converted, judged, look
from tests.reference.checkpoints import case, cases, write
from tests.reference.table import Origin

MATRIX = Path(__file__).parent / "MATRIX.md"
APPROVED, NOT_MADE, DISPROVED = "a", "r", "X"

Judgements = Mapping[str, Sequence[str]]


def judgements(names: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield case and verdicts by variant; prints nothing, takes some seconds a case."""
    # New programs, for MLX's threads and locks do not survive a fork.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        yield from pool.map(_judgements, names)


def as_matrix(found: Judgements, origin: Origin) -> str:
    """Return MATRIX.md."""
    lines = [
        "# Every reference in every variant, judged",
        "",
        f"{origin.sentence} a: approved, r: refused by name before anything was made, X: refused by the referee.",
        "",
        f"| case | {' | '.join(VARIANTS)} |",
        f"|---|{'---|' * len(VARIANTS)}",
        *(f"| {made.name} | {' | '.join(found[made.name])} |" for made in cases()),
    ]
    return "\n".join(lines) + "\n"


def read(text: str) -> Judgements:
    """Return the verdicts of MATRIX.md by case; nothing where its variants are not those of today."""
    if f"| case | {' | '.join(VARIANTS)} |" not in text:
        return {}
    lines = re.findall(r"^\| ([a-z0-9_]+/[a-z0-9_/]+) \| (.*) \|$", text, re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in lines}


def _judgements(name: str) -> tuple[str, list[str]]:
    with tempfile.TemporaryDirectory(prefix="hubbot-matrix-") as folder:
        source = write(case(name), Path(folder) / "source")
        return name, [_judgement(source, Path(folder) / "out", variant) for variant in VARIANTS]


def _judgement(source: Path, out: Path, variant: str) -> str:
    try:
        seen = look(source)
        folder = converted(seen, out, variant)[variant]
    except HubbotError:
        return NOT_MADE
    verdict = judged(seen, folder).verdict
    shutil.rmtree(out)
    return APPROVED if verdict == "approved" else DISPROVED
