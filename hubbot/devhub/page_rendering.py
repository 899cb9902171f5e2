"""How pages are made: the templates, the card's markdown, times and metadata as people read them.

Raw HTML in a card is shown as text, and no page runs a script.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from starlette.responses import HTMLResponse

_HERE = Path(__file__).parent
STYLESHEET = _HERE / "templates" / "hub.css"
_POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def day_text(moment: str) -> str:
    """Write a wire time as a day and a minute."""
    return f"{moment[:10]} {moment[11:16]} UTC"


def card_rows(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a card's metadata as rows of text."""
    return [(key, _value_text(value)) for key, value in data.items()]


def card_html(text: str, *, files: str) -> Markup:
    """Render a card; its relative links lead below `files`."""
    environment: dict[str, Any] = {}
    tokens = _MARKDOWN.parse(text, environment)
    for token in tokens:
        for child in token.children or ():
            _lead_below(child, files)
    # The renderer escapes all text itself, as raw HTML is off.
    return Markup(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, environment))  # noqa: S704


def render(template: str, **values: Any) -> HTMLResponse:
    """Answer with a template, filled."""
    page = _TEMPLATES.get_template(template).render(**values)
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})


def _lead_below(token: Token, files: str) -> None:
    name = {"image": "src", "link_open": "href"}.get(token.type)
    target = token.attrs.get(name) if name else None
    if name and isinstance(target, str) and target and ":" not in target and target[0] not in "/#":
        token.attrs[name] = files + target.removeprefix("./")


def _value_text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(str(item) for item in value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(day=day_text, path=quote)
