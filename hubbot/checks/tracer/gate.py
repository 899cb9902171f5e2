"""Gate 2: on a numbered twin of the source, where the converter that made the artifact puts every element.

A twin is a shrunken model with the source's names and kinds of layers. The gate applies to what hubbot made with
the versions that are installed; of other converters it knows nothing, there the values gate covers every tensor.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubbot.artifacts import Finding
from hubbot.catalogue.families import BY_MODEL_TYPE, family_of
from hubbot.checkpoints import Checkpoint, Repo
from hubbot.checks.subject import Outcome, Subject
from hubbot.checks.tracer import GATE, finding
from hubbot.checks.tracer.numbered_twin import twin_of
from hubbot.checks.tracer.provenance import provenance
from hubbot.checks.tracer.trace import Executor, follow
from hubbot.checks.tracer.trace_findings import judge_trace, uncovered_by_values
from hubbot.errors import HubbotError
from hubbot.marks import read_mark
from hubbot.runtime import loading

# What makes two conversions ones of the same kind.
LAYOUT_KEYS = ("row", "stacking", "order", "orientation")
# Whatever a converter, or a class of mlx-lm with an unusual config, raises.
_FAULTS = (HubbotError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traced:
    """What is known of a source, for all of its variants; `computed` maps an output to its source tensor."""

    findings: tuple[Finding, ...]
    provenance: Mapping[str, Any]
    computed: Mapping[str, str]
    layout: Mapping[str, Any]


@dataclass(frozen=True)
class Tracer:
    """The gate over one converter, `execute`. A source's twin is converted once for all of its variants."""

    execute: Executor
    _known: dict[tuple[Repo, bool], _Traced] = field(default_factory=dict)

    def check(self, subject: Subject) -> Outcome:
        """Return the findings and the provenance map, which is empty where the gate did not run."""
        return self.outcome(subject.checkpoint, read_mark(subject.folder), subject.so_far)

    def outcome(
        self, checkpoint: Checkpoint, mark: Mapping[str, Any] | None, so_far: Sequence[Finding]
    ) -> Outcome:
        """Return the outcome for an artifact with `mark`, of which the gates before have found `so_far`."""
        reason = inapplicable(mark)
        if mark is None or reason:
            return Outcome(findings=(finding(GATE, "artifact", None, None, "not-applicable", reason),))
        try:
            traced = self._traced(checkpoint, text_only=bool(mark.get("text_only")))
        except _FAULTS as error:
            told = f"{type(error).__name__}: {str(error).strip()[:300]}"
            return Outcome(findings=(finding.not_run(f"no twin can be traced: {told}", subject="twin"),))
        passed = [item.subject for item in so_far if (item.gate, item.status) == ("values", "pass")]
        own = (*_same_layout(mark, traced.layout), *uncovered_by_values(traced.computed, passed))
        return Outcome(findings=(*traced.findings, *own), provenance=traced.provenance)

    def _traced(self, checkpoint: Checkpoint, *, text_only: bool) -> _Traced:
        key = (checkpoint.repo, text_only)
        if key not in self._known:
            family = family_of(checkpoint) or BY_MODEL_TYPE[checkpoint.model_type]
            trace = follow(twin_of(checkpoint, family, text_only=text_only), family, self.execute)
            self._known[key] = _Traced(
                findings=tuple(judge_trace(trace)),
                provenance=provenance(trace),
                computed=trace.computed,
                layout=trace.layout,
            )
        return self._known[key]


def inapplicable(mark: Mapping[str, Any] | None) -> str:
    """Return why nothing can be said of what made an artifact with `mark`; "" where it is this very converter."""
    if mark is None:
        return "hubbot did not make it, so its converter is not here; the values gate covers every tensor"
    versions, present = mark.get("versions"), loading.versions()
    if versions == present:
        return ""
    told = versions if isinstance(versions, dict) else {}
    other = next((name for name in present if told.get(name) != present[name]), "hubbot")
    return (
        f"made with {other} {str(told.get(other, '(unknown)'))[:40]}, and this is {present.get(other)}; "
        "the values gate covers every tensor"
    )


def _same_layout(mark: Mapping[str, Any], layout: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield whether the artifact was made as its twin was."""
    recorded = mark.get("layout")
    told, found = (
        {key: part.get(key) for key in LAYOUT_KEYS} if isinstance(part, Mapping) else {}
        for part in (recorded, layout)
    )
    yield finding(
        "layout", "hubbot.json", told, found, "pass" if told == found else "fail",
        "the twin was converted as the artifact was" if told == found
        else "the artifact was made of another layout than its source's twin",
    )  # fmt: skip
