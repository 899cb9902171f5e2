"""What the keys that the runtime's class does not read mean: nothing, what the class does anyway, or a problem.

The table is asked first; for a key that it does not know, the source of transformers' own class decides.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.acting_keys import ACTING, REPEATED, acting
from hubbot.catalogue.configs.conditions import CONDITIONS
from hubbot.catalogue.configs.keys_without_effect import group_of
from hubbot.catalogue.configs.meanings import Judged, Meaning, is_same
from hubbot.catalogue.configs.source_readers import SourceReaders
from hubbot.catalogue.configs.statements import STATEMENTS

Sources = Callable[[], SourceReaders | None]
# Longer values are cut in a sentence.
SHOWN = 300
LONGEST_KEY = 80
# For a statement, null is the same as one of these.
_NOTHING = (None, False, 0, 1, 1.0, "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The sentences about keys that act, and the keys without effect that only the sources tell of."""

    problems: tuple[str, ...]
    passed_over: Mapping[str, Any]


def judge(judged: Judged, sources: Sources, *, runtime: str, model_type: str) -> Verdict:
    """Return what the keys of `judged.config` mean that are not among those consumed.

    `runtime` is what a sentence calls the class. `sources` tells what transformers' class reads, or None where
    transformers has none for `model_type`; it is asked only where the table leaves a question.
    """
    problems, passed_over = [], {}
    for key, value in _leaves(judged):
        if group_of(key) is not None:
            continue
        row = meaning_of(key)
        said = f"the config says {_named(key)} = {_shown(value)}, which {runtime} does not read"
        if row is not None:
            if not _is_neutral(row, key, value, judged, sources):
                problems.append(said)
        elif value is None:
            if _null_acts(key, sources()):
                problems.append(said)
        elif (read := sources()) is None:
            problems.append(f"{said}; {_teach(_named(key), model_type)}")
        elif key.partition(".")[0] not in read.names:
            passed_over[_named(key)] = value
        elif not _is_default(key, value, read):
            problems.append(f"{said}, and transformers {read.version}'s {model_type} class does")
    return Verdict(problems=tuple(problems), passed_over=passed_over)


def meaning_of(key: str) -> Meaning | None:
    """Return the row of the table for a key that may act, or None where no row knows it."""
    for table in (CONDITIONS, STATEMENTS, REPEATED):
        if key in table:
            return table[key]
    return acting(key)


def _teach(key: str, model_type: str) -> str:
    return (
        f"transformers has no class for {model_type} whose source could tell what {key} does: a row in "
        "hubbot/catalogue/configs would teach it"
    )


def _is_neutral(row: Meaning, key: str, value: Any, judged: Judged, sources: Sources) -> bool:
    if value is not None:
        return row.is_neutral(value, judged)
    stated = STATEMENTS.get(key)
    if stated is None:
        return True
    always = judged.always.get(stated.statement)
    done = always if isinstance(always, tuple) else (always,)
    if any(is_same(one, nothing) for one in done for nothing in _NOTHING):
        return True
    return not _null_acts(key, sources())


def _null_acts(key: str, sources: SourceReaders | None) -> bool:
    """Say whether null stands against a value that transformers' class takes where the key is left out."""
    return sources is not None and key in sources.names and sources.defaults.get(key) is not None


def _is_default(key: str, value: Any, sources: SourceReaders) -> bool:
    # Under its defaults the family's committed reference was computed, and mlx-lm's class agreed.
    known = {**sources.asked, **sources.defaults}
    return key in known and is_same(value, known[key])


def _leaves(judged: Judged) -> Iterator[tuple[str, Any]]:
    """Yield the keys that are not consumed; by dotted paths where the table or the class knows parts of one."""
    known = {*judged.consumed, *CONDITIONS, *ACTING}
    nested = {path.partition(".")[0] for path in known if "." in path}
    for key, value in judged.config.items():
        if key in judged.consumed:
            continue
        if key == "rope_parameters" and isinstance(value, Mapping):
            yield from _unread_rope(value, judged)
        elif key in nested and isinstance(value, Mapping) and meaning_of(key) is None:
            for name, part in value.items():
                if f"{key}.{name}" not in judged.consumed:
                    yield f"{key}.{name}", part
        else:
            yield key, value


def _unread_rope(parameters: Mapping[str, Any], judged: Judged) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a rope dictionary that change what is rotated, and that nothing reads."""
    if judged.always.get("rope") == "none":
        return
    scaled = ropes.kind_of(parameters) != "default"
    for key, value in parameters.items():
        name = f"rope_parameters.{key}"
        neutral = key in {"rope_type", "type"} and not scaled
        neutral = neutral or key in {"mrope_section", "mrope_interleaved"}  # all positions of a text are one
        neutral = neutral or (key == "partial_rotary_factor" and value == 1.0) or isinstance(value, Mapping)
        if not neutral and name not in judged.consumed and not (scaled and "rope_parameters" in judged.consumed):
            yield name, value


def _named(key: str) -> str:
    """Return a key of somebody else's file as a sentence may hold it."""
    return key if key.isprintable() and len(key) <= LONGEST_KEY else repr(key)[:LONGEST_KEY]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
