"""What is different between two versions of a published repo, for those who have downloaded the first."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hubbot import plain_json
from hubbot.cards.made_variants import Made, Update
from hubbot.marks import fingerprint, recorded

_TOKENIZER, _TEMPLATE = "tokenizer", "chat template"
_KINDS = {
    "weights": re.compile(r".*\.safetensors"),
    _TOKENIZER: re.compile(r"(?:tokenizer|vocab|merges|special_tokens|added_tokens).*|.*\.tiktoken"),
    _TEMPLATE: re.compile(r"chat_template.*|additional_chat_templates/.*"),
}
_SETTINGS = "tokenizer_config.json"
_NO_TEMPLATE = fingerprint(None)


def tokenizer_parts(folder: Path) -> dict[str, str]:
    """Return fingerprints of the chat template in tokenizer_config.json and of all else there, if it reads."""
    try:
        found = plain_json.loads((folder / _SETTINGS).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    template = found.pop("chat_template", None)
    return {_TOKENIZER: fingerprint(found), _TEMPLATE: fingerprint(template)}


def has_template(parts: Mapping[str, str]) -> bool:
    """Say whether the parts are of a tokenizer with a chat template."""
    return parts.get(_TEMPLATE, _NO_TEMPLATE) != _NO_TEMPLATE


def changed(before: Made, after: Made, folder: Path) -> tuple[str, ...]:
    """Return which of weights, tokenizer and chat template differ between what a repo holds and the new `folder`.

    What it holds is what its mark records, unless its files have become others since.
    """
    old, new = ({file.path: file.sha256 for file in recorded(made.mark)} for made in (before, after))
    differing = [path for path in {*old, *new} if old.get(path) != new.get(path)]
    found = {kind for path in differing for kind in _kinds(path, before, after)}
    for path, sha in new.items():
        if before.stored is not None and sha is not None and sha == old.get(path):
            there = before.stored.get(path)
            if there is None or not there.is_file(folder / path, sha):
                found |= _named(path)
    return tuple(kind for kind in _KINDS if kind in found)


def _kinds(path: str, before: Made, after: Made) -> set[str]:
    old, new = before.tokenizer_parts, after.tokenizer_parts
    if path == _SETTINGS and old and new:
        return {kind for kind in _KINDS if old.get(kind) != new.get(kind)}
    return _named(path)


def _named(path: str) -> set[str]:
    return {kind for kind, names in _KINDS.items() if names.fullmatch(path)}


def updated(made: Made, before: Made | None, folder: Path, today: str) -> Made:
    """Return a variant, made in `folder`, with what changed since `before`, the published one.

    Where nothing did, it keeps the last such news.
    """
    if before is None:
        return made
    what = changed(before, made, folder)
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
