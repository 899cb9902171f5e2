"""How plain data become pages: the templates, links, and times, sizes and durations as people read them.

Everything is escaped; nothing is marked as safe but the <code> around what stood between backticks.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from hubbot.files.sizes import readable

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
_BACKTICKS = re.compile(r"`([^`\n]{1,200})`")
_UNITS = ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min"))


def address(path: str, **query: object) -> str:
    """Return the address of a page, with the parameters that say something."""
    said = urlencode({key: value for key, value in query.items() if value not in {"", None}})
    return quote(path) + (f"?{said}" if said else "")


def ago(moment: str, now: datetime) -> str:
    """Say how long before `now` an ISO time was, or that it is still to come."""
    passed = now - datetime.fromisoformat(moment)
    if passed < timedelta(0):
        return f"in {duration(-passed.total_seconds())}"
    return "just now" if passed < timedelta(seconds=10) else f"{duration(passed.total_seconds())} ago"


def duration(seconds: float) -> str:
    """Write a number of seconds in its largest unit, as 40 s, 12 min, 3 h or 9 d."""
    passed = timedelta(seconds=seconds)
    for unit, name in _UNITS:
        if passed >= unit:
            return f"{passed / unit:.0f} {name}" if passed >= 10 * unit else f"{passed / unit:.1f} {name}"
    return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"


def day(moment: str) -> str:
    """Write an ISO time in UTC as a day and a minute."""
    return f"{moment[:10]} {moment[11:16]} UTC"


def with_code(text: object) -> Markup:
    """Return a text escaped, with what stands between backticks, a command mostly, as code."""
    return Markup(_BACKTICKS.sub(r"<code>\1</code>", str(escape("" if text is None else text))))  # noqa: S704


def render(template: str, values: Mapping[str, Any], *, now: datetime, link: Callable[..., str] = address) -> str:
    """Return a page; `now` is what its times are told from, `link` gives the address of another page."""
    return _TEMPLATES.get_template(template).render(**values, now=now, link=link)


_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update({"size": readable, "day": day, "ago": ago, "duration": duration, "code": with_code})
