"""The Hub's listing of models, page by page: what each entry says of a repo, as far as it can be believed.

An entry that is no repo is left out, told once, and hides no other. Pages end: none is asked for twice, and none
on another host. It judges no repo.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import HfApi
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from hubbot import plain_json
from hubbot.checkpoints import stated_licences
from hubbot.errors import HubRefused, HubUnavailable
from hubbot.hub.retries import Patience

logger = logging.getLogger(__name__)
# A million repos change in no fortnight; a listing that is longer does not end.
MOST_PAGES = 2000
LARGEST_COUNT = 10**12
_EXPANDED = (
    "sha", "createdAt", "lastModified", "tags", "gated", "private", "usedStorage", "cardData", "config", "likes",
    "downloads", "trendingScore",
)  # fmt: skip
_ID = re.compile(r"[A-Za-z0-9._-]{1,96}(?:/[A-Za-z0-9._-]{1,96})?")
_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One repo as a listing of the Hub shows it; `nbytes` is what it stores, None where the Hub does not say.

    `downloads` are those of the last month; `trending` is the Hub's own score.
    """

    id: str
    revision: str
    last_modified: datetime
    tags: tuple[str, ...]
    licences: tuple[str, ...]
    nbytes: int | None
    model_type: str | None
    likes: int = 0
    downloads: int = 0
    trending: int = 0

    @property
    def owner(self) -> str:
        """Return the user or organisation, empty for the few repos without one."""
        return self.id.rpartition("/")[0]


def list_models(
    api: HfApi, patience: Patience, *, author: str | None, search: str | None, tags: Sequence[str]
) -> Iterator[Listed]:
    """Yield repos by last change, newest first. A page that fails is asked for again."""
    query: list[tuple[str, str]] = [("sort", "lastModified"), *(("expand", name) for name in _EXPANDED)]
    query += [("filter", tag) for tag in tags]
    query += [(name, value) for name, value in (("author", author), ("search", search)) if value]
    url, params = f"{api.endpoint}/api/models", query
    asked: set[str] = set()
    headers = build_hf_headers(token=api.token, library_name="hubbot")
    unread = 0
    while url:
        if url in asked or len(asked) >= MOST_PAGES:
            raise HubRefused("the listing does not end: a page leads to itself, or pages go on and on", where=url)
        if urlsplit(url).netloc != urlsplit(str(api.endpoint)).netloc:
            raise HubRefused("the listing goes on at another host, which is not asked", where=url[:200])
        asked.add(url)
        entries, url = patience.ask_in_turn("listing of models", partial(_page, url, params, headers))
        params = []
        for entry in entries:
            found = read_entry(entry)
            unread += found is None
            if found is not None:
                yield found
    if unread:
        logger.warning("the Hub's listing has %d entries that describe no repo; they are left out", unread)


def read_entry(entry: Any) -> Listed | None:
    """Return what an entry of a listing says, or None where it is no repo; what cannot be believed is left out."""
    if not isinstance(entry, Mapping):
        return None
    repo_id, sha, changed = entry.get("id"), entry.get("sha"), _time(entry.get("lastModified"))
    if not (isinstance(repo_id, str) and _ID.fullmatch(repo_id) and isinstance(sha, str) and _SHA.fullmatch(sha)):
        return None
    if changed is None:
        return None
    card, config, stated_tags = entry.get("cardData"), entry.get("config"), entry.get("tags")
    tags = tuple(tag for tag in stated_tags if isinstance(tag, str)) if isinstance(stated_tags, list) else ()
    stated = stated_licences(card) if isinstance(card, dict) else ()
    tagged = tuple(tag.removeprefix("license:") for tag in tags if tag.startswith("license:"))
    model_type = config.get("model_type") if isinstance(config, dict) else None
    stored = entry.get("usedStorage")
    return Listed(
        id=repo_id,
        revision=sha,
        last_modified=changed,
        tags=tags,
        licences=stated or tagged,
        nbytes=None if stored is None else _count(stored),
        model_type=model_type if isinstance(model_type, str) else None,
        likes=_count(entry.get("likes")),
        downloads=_count(entry.get("downloads")),
        trending=_count(entry.get("trendingScore")),
    )


def _page(url: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> tuple[list[Any], str]:
    answer = get_session().get(url, params=[*params] or None, headers=dict(headers), timeout=None)
    hf_raise_for_status(answer)
    try:
        entries = plain_json.loads(answer.content)
    except ValueError as error:
        raise HubUnavailable(f"the listing is no JSON: {error}", where=url[:200]) from error
    if not isinstance(entries, list):
        raise HubUnavailable("the listing is no list", where=url[:200])
    return entries, str(answer.links.get("next", {}).get("url", ""))


def _count(value: Any) -> int:
    """Return a count of the Hub's, 0 where it is none: a text, a truth, less than nothing, or beyond reason."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value <= LARGEST_COUNT else 0


def _time(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
