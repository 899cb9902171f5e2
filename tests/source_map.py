"""Every file and what it knows or does, by room: the last section of CONTRIBUTING.md.

`python -m tests.refresh` writes it from the first sentence of each docstring, or a script's first comment.
Tests themselves are left out: their folders mirror the package.
"""

import ast
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- source map: begin -->", "<!-- source map: end -->"


def as_contributing(text: str) -> str:
    """Return CONTRIBUTING.md's text with the map between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{source_map()}{END}{tail}"


def source_map() -> str:
    """Return the map as Markdown: a heading for each folder, a line for each file that says what it is about."""
    lines = []
    for folder, modules in groupby(_files(), key=lambda module: module.parent):
        lines += [f"### `{folder.relative_to(ROOT)}/`", ""]
        for module in modules:
            about = _about(module)
            if module.name == "__init__.py":
                lines += [about, ""] if about else []
            else:
                lines += [f"- `{module.name}`: {about}"]
        lines += [""] if lines[-1] else []
    return "\n".join(lines)


def _files() -> Iterator[Path]:
    for room in ("hubbot", "deploy", "tests"):
        top = ROOT / room
        for folder in sorted(folder for folder in (top, *top.rglob("*")) if folder.is_dir()):
            found = sorted(file for file in folder.iterdir() if _is_told(file))
            yield from found if any(file.name != "__init__.py" for file in found) else ()


def _is_told(file: Path) -> bool:
    if file.parent.name == "deploy":
        return file.is_file()
    return file.suffix == ".py" and not file.name.startswith(("test_", "conftest"))


def _about(file: Path) -> str:
    text = file.read_text("utf-8")
    if file.suffix == ".py":
        return " ".join((ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0].split())
    comments = (line.strip("#<>!- ") for line in text.splitlines() if line.startswith(("# ", "<!-- ")))
    return next(comments, "").partition(";")[0]
