"""The kinds of meaning that a config key can have, and whether a value of it agrees with what a class computes.

The rows stand beside this module: keys_without_effect, statements, acting_keys, repeated_keys, conditions.
It judges one key at a time and knows no family; what a key that no row knows means is asked of the sources.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubbot.catalogue.configs.nesting import look_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a key is judged by.

    The decoder's flat config, the keys that the class reads, the fields as resolved, and what the class always
    does: statement -> value, or a tuple of values that are the same to it.
    """

    config: Mapping[str, Any]
    consumed: frozenset[str]
    fields: Mapping[str, Any]
    always: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """A key that states something a class may always do: neutral where the class does exactly that.

    `words` are (value of the key, values of the statement it stands for); without any the value is its own word.
    """

    statement: str
    words: tuple[tuple[Any, tuple[Any, ...]], ...] = ()

    def is_neutral(self, value: Any, judged: Judged) -> bool:
        """Say whether the class always does what `value` states."""
        done = judged.always.get(self.statement)
        done = done if isinstance(done, tuple) else (done,)
        return any(is_same(one, other) for one in self._said(value) for other in done if one is not None)

    def is_synonym(self, value: Any, other: Any) -> bool:
        """Say whether two values of the key state the same."""
        said = self._said(other)
        return is_same(value, other) or any(is_same(one, two) for one in self._said(value) for two in said)

    def _said(self, value: Any) -> tuple[Any, ...]:
        if not self.words:
            return (value,)
        return next((meant for word, meant in self.words if is_same(word, value)), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Neutral:
    """A key that changes the function unless it holds one of `values`: what every class does without it."""

    values: tuple[Any, ...]
    reason: str
    source: str

    def is_neutral(self, value: Any, _judged: Judged) -> bool:
        """Say whether `value` is one of the neutral ones."""
        return any(is_same(value, one) for one in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """A key that repeats what others say: neutral where it holds the value of one of `fields` or `keys`.

    `fields` are resolved fields of the class, `keys` dotted paths of the config.
    """

    fields: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    reason: str
    source: str

    def is_neutral(self, value: Any, judged: Judged) -> bool:
        """Say whether `value` is what one of the others says."""
        told = [judged.fields.get(name) for name in self.fields]
        told += [look_up(judged.config, path) for path in self.keys]
        return any(one is not None and is_same(value, one) for one in told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A key whose effect depends on more than its own value: neutral where `holds` says so."""

    holds: Callable[[Any, Judged], bool]
    reason: str
    source: str

    def is_neutral(self, value: Any, judged: Judged) -> bool:
        """Say whether the key has no effect in this config."""
        return self.holds(value, judged)


Meaning = States | Neutral | Repeats | Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutEffect:
    """Keys that never change the function of a text decoder at inference: `keys`, and names like `pattern`."""

    reason: str
    keys: frozenset[str] = field(default_factory=frozenset)
    pattern: str | None = None


def is_same(value: Any, other: Any) -> bool:
    """Say whether two values are the same; true is not 1, nor false 0."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)
