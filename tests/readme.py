"""What of the README is written by programs: `python -m tests.readme` brings it up to date.

A test says when that is due.
"""

from pathlib import Path

from hubbot.catalogue.coverage import coverage
from hubbot.cli.layouts import as_markdown

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- layouts: begin -->", "<!-- layouts: end -->"


def written(text: str) -> str:
    """The README's text with the catalogue's tables between their markers."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{as_markdown(coverage())}\n{END}{tail}"


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
