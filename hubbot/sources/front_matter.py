"""The YAML front matter of a model card: bytes in, plain JSON types out, or one sentence why not.

It finds the block as the Hub does, parses it in bounds, and takes a scalar for what is written: YAML 1.1's
`no` stays text. It never constructs objects.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"

# The Hub's own expression (huggingface_hub, repocard.REGEX_YAML_BLOCK: "exact same regex as in the Hub server").
_BLOCK = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))")
_EMPTY = re.compile(r"^\s*---(?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$)")
MAX_BYTES = 1 << 18
# What a block may become once its aliases are written out, and how deep it may nest.
MAX_VALUES = 20_000
MAX_DEPTH = 40
# An alias repeats a text for two characters: counted like the values, as often as it is written out.
MAX_CHARACTERS = 1 << 20
_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset({"null", "bool", "int", "float", "str", "timestamp", "binary", "value", "merge"})
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMatter:
    """A card's metadata; `problem` says why there is something that could not be read."""

    data: Mapping[str, Any]
    problem: str | None


class _Unreadable(ValueError):
    """The block is no metadata; the message says why."""


def read(card: bytes) -> FrontMatter:
    """Return the metadata of a README.md, empty where it has none or where they cannot be read."""
    text = card.decode("utf-8-sig", "replace")
    try:
        return FrontMatter(data=_parse(_block(text)), problem=None)
    except _Unreadable as error:
        return FrontMatter(data={}, problem=_printable(str(error)))


def _block(text: str) -> str:
    """Return the YAML text at the head of a card, empty where there is none."""
    head = text.lstrip()
    if not head.startswith("---") or head.startswith("----") or _EMPTY.match(text):
        return ""
    found = _BLOCK.match(text)
    if found:
        return found.group(2)
    if head[3:4] not in {"\r", "\n", ""}:
        raise _Unreadable("there is something behind its first dashes, and the Hub takes it for text")
    raise _Unreadable("it begins with --- and has no second line of ---")


def _parse(block: str) -> dict[str, Plain]:
    if len(block) > MAX_BYTES:
        raise _Unreadable(f"it has {len(block)} characters, more than the {MAX_BYTES} that are read")
    try:
        node = yaml.compose(block, Loader=_Counted)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _Unreadable(f"{line}{error.problem or 'no YAML'}") from error
    except RecursionError as error:
        raise _Unreadable("it nests too deep") from error
    except _Unreadable:
        raise
    except (yaml.YAMLError, ValueError) as error:
        raise _Unreadable(str(error).splitlines()[0] if str(error) else "no YAML") from error
    if node is None:
        return {}
    value = _Reading().plain(node, ())
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _Unreadable(f"it is a {'list' if isinstance(value, list) else 'text'}, no mapping of keys")
    return value


class _Counted(yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's loader, stopped where a block holds more nodes than metadata ever do."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node, as the loader does; _Unreadable after too many."""
        self.nodes += 1
        if self.nodes > MAX_VALUES:
            raise _Unreadable(f"it holds more than {MAX_VALUES} values")
        return super().compose_node(parent, index)


class _Reading:
    """Nodes of YAML as plain values, counted: aliases are written out."""

    def __init__(self) -> None:
        self._left = MAX_VALUES
        self._characters = MAX_CHARACTERS

    def plain(self, node: yaml.Node, above: tuple[yaml.Node, ...]) -> Plain:
        """Return the value of a node; `above` are those that it stands in."""
        self._left -= 1
        if self._left < 0:
            raise _Unreadable(f"it holds more than {MAX_VALUES} values, aliases written out")
        if any(node is one for one in above):
            raise _Unreadable("a part of it contains itself")
        if len(above) > MAX_DEPTH:
            raise _Unreadable("it nests too deep")
        if isinstance(node, yaml.ScalarNode):
            self._characters -= len(node.value)
            if self._characters < 0:
                raise _Unreadable(f"it holds more than {MAX_CHARACTERS} characters, aliases written out")
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.plain(item, (*above, node)) for item in node.value]
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, (*above, node))
        raise _Unreadable(f"it uses the tag {node.tag.removeprefix(_TAG)!r}, which is no text, list or mapping")

    def _mapping(self, node: yaml.MappingNode, above: tuple[yaml.Node, ...]) -> dict[str, Plain]:
        merged: dict[str, Plain] = {}
        found: dict[str, Plain] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Unreadable("a key is a list or a mapping")
            value = self.plain(item, above)
            if key.tag == f"{_TAG}merge":
                merged = {**dict(self._merged(value)), **merged}
                continue
            if key.value in found and found[key.value] != value:
                raise _Unreadable(f"the key {key.value[:40]!r} stands twice with different values")
            found[key.value] = value
        return {**merged, **found}

    @staticmethod
    def _merged(value: Plain) -> Iterator[tuple[str, Plain]]:
        for part in reversed(value) if isinstance(value, list) else [value]:
            if not isinstance(part, dict):
                raise _Unreadable("it merges what is no mapping")
            yield from part.items()


def _scalar(node: yaml.ScalarNode) -> Plain:
    """Return a scalar as YAML 1.2 and JSON know it; all else that YAML 1.1 would make of it stays text."""
    # An escape can bring half a surrogate pair, which no terminal, page or database takes.
    text = str(node.value).encode("utf-8", "replace").decode()
    kind = node.tag.removeprefix(_TAG)
    if kind == node.tag or kind not in _SCALARS:
        raise _Unreadable(f"it uses the tag {kind!r}, which is no text, list or mapping")
    # An empty or quoted text has a style or the tag str; only a plain one can mean something else.
    if node.style is not None:
        return text
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if _INTEGER.fullmatch(text) and kind == "int":
        return int(text)
    if _FLOAT.fullmatch(text) and kind == "float" and math.isfinite(float(text)):
        return float(text)
    return text


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:200]
