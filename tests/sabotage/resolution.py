"""Faults planted in how a source's config is resolved for the converter, and what the referee says of each.

A fault is planted in the resolution's tables, or done to the config that it writes; the source stays as it is.
RESOLUTION.md is the table, which `python -m tests.refresh` writes. It needs no torch.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from hubbot.artifacts import Finding
from hubbot.catalogue import resolution, runtimes
from hubbot.catalogue.configs.spellings import SYNONYMS
from hubbot.catalogue.families import Family
from hubbot.checks.structure.configuration import effective_fields
from hubbot.checks.structure.decisive_settings import CHECK, check_decisive_settings
from tests.checkpoints_on_disk import row_of
from tests.sabotage.on_resolution import FAULTS, Fault

PATH = Path(__file__).parent / "RESOLUTION.md"
HEAD = """# Faults in the resolution of decisive settings

Each fault is planted in how hubbot resolves a source's config for the converter; the referee, which derives these
settings a second time from the source's config.json, refuses the config that is written: {refused} of {count},
without torch. This file is written by `python -m tests.refresh`; a test holds it current.

| decisive setting | fault | source | caught as | found | the source says |
|---|---|---|---|---|---|
"""


def resolved(fault: Fault, *, is_planted: bool = True) -> tuple[dict[str, Any], Family]:
    """The config that the resolution writes for the source, with the fault or without it."""
    config = fault.config
    family = row_of(config)
    faulty = replace(family, defaults={**family.defaults, **fault.defaults}) if is_planted else family
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None
    with _synonyms(fault.synonyms if is_planted else {}):
        written = dict(resolution.resolve(config, faulty, fields).config)
    if not is_planted:
        return written, family
    part = dict(written["text_config"]) if family.text_args else written
    for name, change in fault.written.items():
        assert name in part, name
        part[name] = change(part[name])
    return ({**written, "text_config": part} if family.text_args else part), family


@contextmanager
def _synonyms(changed: Mapping[str, tuple[str, ...]]) -> Iterator[None]:
    table = cast("dict[str, tuple[str, ...]]", SYNONYMS)
    before = dict(table)
    table |= changed
    try:
        yield
    finally:
        table.clear()
        table.update(before)


def findings(fault: Fault, *, is_planted: bool = True) -> list[Finding]:
    """What the referee's second derivation says of the config that is written."""
    written, family = resolved(fault, is_planted=is_planted)
    return list(check_decisive_settings(fault.config, effective_fields(written, family)))


def objection(fault: Fault) -> Finding | None:
    """The first finding that refuses the faulty config, or None."""
    return next((found for found in findings(fault) if (found.check, found.status) == (CHECK, "fail")), None)


def row(fault: Fault) -> str:
    """One line of the table."""
    found = objection(fault)
    what = f"| {fault.setting} | {fault.what} | {fault.source} |"
    if found is None:
        return f"{what} **not caught** | | |"
    return f"{what} {found.subject.removeprefix('config.json, ')} | {found.measured} | {found.allowed} |"


def render() -> str:
    """The whole of RESOLUTION.md."""
    rows = [row(fault) for fault in FAULTS]
    refused = sum("not caught" not in line for line in rows)
    return HEAD.format(refused=refused, count=len(rows)) + "\n".join(rows) + "\n"
