"""Model cards: the YAML front matter of a README.md and the text below it.

Knows what of it the Hub accepts. Never renders: see pages.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

_FRONT_MATTER = re.compile(r"\A(?:\ufeff)?---[ \t]*\r?\n(.*?)(?:\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_ALIASES_LIMIT = 16
_TEXT_LIMIT = 1024 * 1024


class CardError(ValueError):
    """The front matter is not what the Hub accepts; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card's metadata and its text without them."""

    data: dict[str, Any] = field(default_factory=dict)
    body: str = ""


def parse_card(text: str) -> Card:
    """Split a README into metadata and text; raises CardError."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        return Card(body=text)
    return Card(data=_parse_yaml(match.group(1)), body=text[match.end() :])


def read_card(text: str) -> Card:
    """Split a README, showing one with broken front matter as all text."""
    try:
        return parse_card(text)
    except CardError:
        return Card(body=text)


def faults_of(text: str) -> list[str]:
    """Return what the Hub would refuse in a README, nothing if it is fine."""
    try:
        data = parse_card(text).data
    except CardError as error:
        return [str(error)]
    faults = []
    for key, kinds in (("license", (str, list)), ("pipeline_tag", (str,)), ("library_name", (str,))):
        if key in data and not isinstance(data[key], kinds):
            faults.append(f'"{key}" must be a string')
    if not isinstance(data.get("tags") or [], list):
        faults.append('"tags" must be an array')
    return faults


def _parse_yaml(text: str) -> dict[str, Any]:
    if len(text) > _TEXT_LIMIT:
        raise CardError("The metadata are too long")
    try:
        # A few nested aliases can stand for gigabytes ("billion laughs"), so they are counted first.
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader))
        if aliases > _ALIASES_LIMIT:
            raise CardError("Too many YAML aliases")
        data = yaml.safe_load(text)
        plain = json.loads(json.dumps(data, default=str), parse_constant=str)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise CardError(f"Invalid YAML: {error}") from error
    if plain is None:
        return {}
    if not isinstance(plain, dict):
        raise CardError("The metadata must be a mapping")
    return plain
