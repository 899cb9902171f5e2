"""The tracer over a converter with a fault: what the tests of its findings share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubbot.artifacts import Finding
from hubbot.checks.subject import Outcome
from hubbot.checks.tracer.gate import Tracer
from hubbot.checks.tracer.numbered_twin import twin_of
from hubbot.checks.tracer.trace import Executor, TraceResult, follow
from hubbot.conversion.convert_twin import convert_twin
from hubbot.runtime import loading
from tests.checkpoints_on_disk import Source, Stored, Workshop, read_folder, rewrite, row_of

Alter = Callable[[Stored], None]


def mark_of(source: Source, **changed: Any) -> dict[str, Any]:
    """The mark of an artifact that the present hubbot made of `source`."""
    return {"versions": loading.versions(), "layout": source.layout.to_json(), **changed}


def checked(source: Source, execute: Executor = convert_twin) -> Outcome:
    """What the tracer finds, its cache being empty and no other gate having run."""
    return Tracer(execute).outcome(source.checkpoint, mark_of(source), [])


def traced(workshop: Workshop, name: str, *, small: int = 0) -> TraceResult:
    """The reference called `name` traced through the converter, as a twin of its own size or a smaller one."""
    checkpoint = workshop.source(name).checkpoint
    family = row_of(checkpoint.config, checkpoint.tensors)
    return follow(twin_of(checkpoint, family, small=small), family, convert_twin)


def altered(alter: Alter) -> Executor:
    """The converter, whose output is altered before anybody sees it."""

    def execute(source: Path, out: Path) -> Path:
        artifact = convert_twin(source, out)
        stored = read_folder(artifact)
        alter(stored)
        rewrite(artifact, stored)
        return artifact

    return execute


def failures(outcome: Outcome) -> list[Finding]:
    return [finding for finding in outcome.findings if finding.status == "fail"]
