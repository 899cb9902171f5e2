"""A Hub that does nothing but list what it is given, for whoever watches."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hubbot.hub.model_lists import Listed

NOW = datetime(2026, 5, 8, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FOX = Listed(
    id="fables/Fox",
    revision="a" * 40,
    last_modified=NOW - HOUR,
    tags=("moe", "license:apache-2.0"),
    licences=("apache-2.0",),
    nbytes=3_000_000_000,
    model_type="qwen3_moe",
)


class Shelf:
    """A Hub that lists what it is given, and remembers how it was asked."""

    def __init__(self, *repos: Listed) -> None:
        self.repos = sorted(repos, key=lambda repo: repo.last_modified, reverse=True)
        self.asked: list[dict[str, Any]] = []

    def sparing(self, share: float) -> "Shelf":
        self.asked.append({"share": share})
        return self

    def listing(
        self, *, author: str | None, search: str | None, tags: Sequence[str], until: datetime | None
    ) -> Iterator[Listed]:
        self.asked.append({"author": author, "search": search, "tags": tuple(tags), "until": until})
        for repo in self.repos:
            if until is not None and repo.last_modified < until:
                return
            if author in (None, repo.id.partition("/")[0]) and (search or "").lower() in repo.id.lower():
                yield repo
