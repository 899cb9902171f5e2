"""Gate 2's findings on a converted twin: each source element is in its one place, or dropped by a rule."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from hubbot.artifacts import Finding
from hubbot.catalogue import resolution
from hubbot.catalogue.experts import expert_layouts
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.catalogue.tensors import share
from hubbot.checks.tracer import finding
from hubbot.checks.tracer.describe import fold
from hubbot.checks.tracer.element_ids import NOWHERE, Indices, Traced
from hubbot.checks.tracer.mismatch import MismatchExplainer
from hubbot.checks.tracer.trace import Origins, TraceResult

SHOWN = 8


def judge_trace(trace: TraceResult) -> Iterator[Finding]:
    """Yield the findings; where one fails it names tensor, layer and expert."""
    yield from _outputs(trace)
    yield from _mapping(trace)
    yield from _cover(trace)
    yield from _sanitized(trace)


def _outputs(trace: TraceResult) -> Iterator[Finding]:
    for names, reason in (
        (trace.missing, "the converter makes nothing for it"),
        (trace.unknown, "the converter stores it, and the class has no such parameter"),
        (trace.rounded, "not stored in float32: its numbers cannot be trace"),
    ):
        for name in names[:SHOWN]:
            yield finding("outputs", name, len(names), 0, "fail", reason)


def _mapping(trace: TraceResult) -> Iterator[Finding]:
    wrong = [
        name
        for name, actual in trace.actual.items()
        if name not in trace.computed and not is_same(actual, trace.expected[name])
    ]
    if wrong:
        explainer = MismatchExplainer(trace)
        for name in wrong:
            yield explainer.explain(name)
        return
    folded = sum(fold(actual) != "" for actual in trace.actual.values())
    yield finding(
        "mapping", "all parameters", 0, 0, "pass",
        f"{len(trace.actual)} parameters hold the source elements that the catalogue's rows name"
        + (f", {folded} of them with a constant added" if folded else ""),
    )  # fmt: skip


def is_same(one: Traced, other: Traced) -> bool:
    """Say whether two outputs hold the same source elements, changed in the same way, in the same places."""
    return (
        not one.is_computed
        and (one.scale, one.addend) == (other.scale, other.addend)
        and np.array_equal(one.elements, other.elements)
    )


def _cover(trace: TraceResult) -> Iterator[Finding]:
    """Yield whether each source element is used once, or its tensor dropped by a rule and used never."""
    numbering = trace.numbering
    uses, due = _uses(trace, trace.actual), _due(trace)
    wrong = np.unique(numbering.tensor_of(np.flatnonzero(uses != due)))
    for tensor in wrong[:SHOWN]:
        name, span = numbering.names[tensor], slice(*numbering.starts[tensor : tensor + 2])
        yield _uncovered(trace, name, uses[span], due[span], len(wrong))
    if not len(wrong):
        dropped = f"; {len(trace.dropped)} tensors are dropped by rule" if trace.dropped else ""
        dropped += f"; {trace.copied} also as the tied output layer" if trace.copied else ""
        dropped += "; weights of zero experts are left out" if trace.twin.idle else ""
        yield finding(
            "cover", "all source tensors", 0, 0, "pass",
            f"{numbering.total} elements of {len(numbering.names)} tensors: each is in one place{dropped}",
        )  # fmt: skip


def _uses(trace: TraceResult, origins: Origins) -> Indices:
    """Return how often each source element is used."""
    uses = np.zeros(trace.numbering.total, np.int64)
    for name, traced in origins.items():
        if name in trace.computed:
            continue  # of its source, of which a part may be found again unchanged, nothing is counted
        known = traced.elements[traced.elements != NOWHERE]
        if known.size:
            first, stop = int(known.min()), int(known.max()) + 1
            uses[first:stop] += np.bincount(known - first, minlength=stop - first)
    return uses


def _due(trace: TraceResult) -> Indices:
    """Return how often each source element ought to be used."""
    due = np.ones(trace.numbering.total, np.int64)
    zeros = resolution.zero_experts(trace.twin.checkpoint.config)
    config = trace.twin.checkpoint.config
    family = BY_MODEL_TYPE[trace.twin.checkpoint.model_type]
    unseen = set(trace.computed.values())
    starts, shapes = trace.numbering.starts, trace.numbering.shapes
    for tensor, name in enumerate(trace.numbering.names):
        first, stop = starts[tensor : tensor + 2]
        if name in trace.dropped or name in unseen:
            due[first:stop] = 0
        elif name == trace.copied:
            due[first:stop] = 2
        elif zeros and name in trace.twin.idle:
            # Behind the real experts stand weights of zero experts, which compute nothing.
            due[stop - zeros * ((stop - first) // shapes[name][0]) : stop] = 0
        else:
            # Behind what is for text may stand as much for images.
            due[first + (stop - first) // share(name, family, config) : stop] = 0
    return due


def _uncovered(trace: TraceResult, name: str, uses: Indices, due: Indices, tensors: int) -> Finding:
    lost, doubled = int((uses < due).sum()), int((uses > due).sum())
    first = int((uses != due).argmax())
    shape = trace.numbering.shapes[name]
    where = f", expert {first // (len(uses) // shape[0])}" if _is_stack(name) else ""
    reason = trace.dropped.get(name)
    told = f"{lost} of {len(uses)} elements nowhere, {doubled} more than once" if reason is None else "used"
    allowed = "each in one place" if reason is None else "dropped"
    why = reason or "every source element is used once, unless a rule drops its tensor"
    more = f"; {tensors} tensors are not covered exactly" if tensors > 1 else ""
    return finding("cover", f"{name}{where}", told, allowed, "fail", why + more)


def _is_stack(name: str) -> bool:
    tensor = expert_layouts.read_name(name)
    return tensor is not None and tensor.expert is None


def _sanitized(trace: TraceResult) -> Iterator[Finding]:
    """Yield whether the class's own sanitize takes the source's tensors for the same."""
    if trace.refusal:
        yield finding(
            "mlx-lm's sanitize", "source tensors", None, None, "not-applicable",
            f"the class does not take the source as it is stored: {trace.refusal}",
        )  # fmt: skip
        return
    differ = [
        name
        for name, other in trace.sanitized.items()
        if not is_same(other, trace.expected[name]) and not _is_explained(trace, name, other)
    ]
    for name in differ[:SHOWN]:
        yield finding(
            "mlx-lm's sanitize", name, len(differ), 0, "fail",
            "the class's own sanitize makes something else of the source, and no row of the catalogue says why",
        )  # fmt: skip
    if not differ:
        yield finding("mlx-lm's sanitize", "all parameters", 0, 0, "pass", _confirmation(trace))


def _is_explained(trace: TraceResult, name: str, other: Traced) -> bool:
    """Say whether only the arithmetic differs that a row of the catalogue names with its reason."""
    if name in trace.computed and name in trace.folds and not other.is_computed:
        held = np.unique(trace.numbering.tensor_of(other.elements))
        return [trace.numbering.names[tensor] for tensor in held] == [trace.computed[name]]
    return name in trace.folds and np.array_equal(other.elements, trace.expected[name].elements)


def _confirmation(trace: TraceResult) -> str:
    return f"{len(trace.sanitized)} parameters confirmed by mlx-lm's own sanitize"


def uncovered_by_values(computed: Mapping[str, str], passed: Collection[str]) -> Iterator[Finding]:
    """Yield what no numbers can show: outputs `computed` of a source tensor, and whether the values gate did."""
    for name, source in computed.items():
        ok = name in passed
        yield finding(
            "computed", name, f"made of {source}", "judged by the values gate", "pass" if ok else "fail",
            "no source element's numbers" + ("; the values gate passed it" if ok else ", and nothing judged it"),
        )  # fmt: skip
