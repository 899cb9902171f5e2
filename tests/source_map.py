"""Every file of the product and what it knows or does, by room: the last section of CONTRIBUTING.md.

`python -m tests.refresh` writes it from the first sentence of each module's docstring.
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
    """Return the map as Markdown: a heading for each folder, a line for each module that says what it is about."""
    lines = []
    for folder, modules in groupby(_modules(), key=lambda module: module.parent):
        lines += [f"### `{folder.relative_to(ROOT)}/`", ""]
        for module in modules:
            about = _first_sentence(module)
            if module.name == "__init__.py":
                lines += [about, ""] if about else []
            else:
                lines += [f"- `{module.name}`: {about}"]
        lines += [""] if lines[-1] else []
    return "\n".join(lines)


def _modules() -> Iterator[Path]:
    folders = sorted(folder for folder in (ROOT / "hubbot", *(ROOT / "hubbot").rglob("*")) if folder.is_dir())
    for folder in folders:
        modules = sorted(folder.glob("*.py"), key=lambda module: (module.name != "__init__.py", module.name))
        yield from modules if len(modules) > 1 else ()


def _first_sentence(module: Path) -> str:
    text = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())
