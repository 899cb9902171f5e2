"""What is different between two versions of a published repo, for those who have downloaded the first."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hubbot.cards.made_variants import Made, Update
from hubbot.marks import recorded

_KINDS = {
    "weights": re.compile(r".*\.safetensors"),
    "tokenizer": re.compile(r"(?:tokenizer|vocab|merges|special_tokens|added_tokens).*|.*\.tiktoken"),
    "chat template": re.compile(r"chat_template.*|additional_chat_templates/.*"),
}


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which of weights, tokenizer and chat template differ between what two marks record."""
    old, new = ({file.path: file.sha256 for file in recorded(mark)} for mark in (before, after))
    differing = [path for path in {*old, *new} if old.get(path) != new.get(path)]
    return tuple(kind for kind, names in _KINDS.items() if any(map(names.fullmatch, differing)))


def updated(made: Made, before: Made | None, today: str) -> Made:
    """Return a variant with what changed since `before`, the published one; else with the last such news."""
    if before is None:
        return made
    what = changed(before.mark, made.mark)
    if not what:
        return replace(made, update=before.update)
    revision = before.mark["source"]["revision"]
    update = Update(
        since=today,
        changed=what,
        before=revision,
        same_source=made.mark["source"]["revision"] == revision,
        sees=bool(made.mark.get("sees")) and not before.mark.get("sees"),
    )
    return replace(made, update=update)
