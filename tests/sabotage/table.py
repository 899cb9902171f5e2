"""Every sabotage, and the table of which gate caught it: README.md beside this file.

`python -m tests.refresh` writes it.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hubbot.artifacts import Finding, Report
from tests.checkpoints_on_disk import Workshop
from tests.sabotage import on_configs, on_experts, on_families, on_files, on_more_families, on_tensors
from tests.sabotage.bench import Sabotage
from tests.sabotage.sources import Sources

README = Path(__file__).parent / "README.md"
CHAPTERS = {
    "Experts": on_experts.SABOTAGES,
    "Routers, attention, norms, embeddings": on_tensors.SABOTAGES,
    "Config": on_configs.SABOTAGES,
    "Families and packed sources": on_families.SABOTAGES,
    "Families with parts of their own": on_more_families.SABOTAGES,
    "Files": on_files.SABOTAGES,
}
SABOTAGES = tuple(sabotage for some in CHAPTERS.values() for sabotage in some)
HEAD = """# Sabotage

Good artifacts are broken on purpose, plausibly: index and hashes are made to agree with the damage, except
where the table says otherwise. The referee refuses every one of them, by a finding that names what is wrong and
where; of faults in the resolution of configs there is a table beside this one, RESOLUTION.md. This file is written
by `python -m tests.refresh`, and a test holds it current.

{count} mutations, {refused} refused.
"""


def judged(sabotage: Sabotage, variant: str, folder: Path, workshop: Workshop) -> Report:
    """The report on a good artifact after the sabotage, in `folder`, which must not exist."""
    workshop.copy(sabotage.source, variant, folder)
    sabotage.commit(folder)
    return workshop.report(sabotage.source, folder)


def objection(sabotage: Sabotage, report: Report) -> Finding | None:
    """The failing finding that the sabotage calls for, or None."""
    for finding in report.failures:
        if finding.check in sabotage.check.split("|") and sabotage.subject in finding.subject:
            return finding
    return None


def row(sabotage: Sabotage, finding: Finding | None) -> str:
    """One line of the table."""
    if finding is None:
        return f"| {sabotage.name} | {sabotage.issue} | **not caught** | | |"
    where = "the folder" if finding.subject.startswith("/") else finding.subject.replace("|", "/")
    what = finding.reason.split("; ")[0].split(", expert")[0].split(", row")[0].replace("|", "/")
    return f"| {sabotage.name} | {sabotage.issue} | {finding.gate}: {finding.check} | {where} | {what} |"


def render() -> Iterator[str]:
    """The lines of README.md."""
    refused = 0
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        workshop = Sources(Path(scratch) / "workshop")
        for chapter, sabotages in CHAPTERS.items():
            lines += [
                "",
                f"## {chapter}",
                "",
                "| mutation | issue | caught by | where | what it says |",
                "|" + "---|" * 5,
            ]
            for number, sabotage in enumerate(sabotages):
                folder = Path(scratch) / f"{chapter}-{number}"
                finding = objection(sabotage, judged(sabotage, sabotage.variants[0], folder, workshop))
                refused += finding is not None
                lines.append(row(sabotage, finding))
    yield from HEAD.format(count=len(SABOTAGES), refused=refused).splitlines()
    yield from lines


def is_complete(text: str) -> bool:
    """Say whether README.md has a row for every sabotage, and no other, under its head."""
    named = re.findall(r"^\| (?!mutation )(.*?) \| ", text, re.MULTILINE)
    head = HEAD.format(count=len(SABOTAGES), refused=len(SABOTAGES))
    return named == [sabotage.name for sabotage in SABOTAGES] and text.startswith(head)
