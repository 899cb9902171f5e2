"""Converts the twin, a shrunken model, under two numberings and locates every element of the output.

The location is compared with the one that the referee works out from the catalogue's rows, and with what the
runtime's own sanitize makes of the same tensors.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hubbot.catalogue.families import Family
from hubbot.catalogue.tensors import ZERO_BIAS
from hubbot.checks.readers.artifact_parameters import StoredParameters, read_config, shapes_of
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.readers.tensor_files import Floats
from hubbot.checks.readers.whole_tensors import stored_floats, whole
from hubbot.checks.tracer.element_ids import Numbering, Traced
from hubbot.checks.tracer.numbered_twin import Twin
from hubbot.checks.tracer.write_twin import write_twin
from hubbot.errors import StructureMismatch
from hubbot.marks import read_mark
from hubbot.runtime.sanitizing import sanitized

# Converts the checkpoint in the first folder, unquantized in float32, into the second; returns the artifact's.
Executor = Callable[[Path, Path], Path]
Origins = Mapping[str, Traced]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceResult:
    """Where every output of the twin comes from.

    `actual` is what was converted, `expected` what the catalogue's rows say, `sanitized` what the class makes.
    `refusal` says why sanitize did not take the source's tensors, "" where it did. `stacks` are the parameters
    that hold experts, `folds` those with other numbers than the source's, and why. `computed` are those whose
    numbers are no source element's although they are as expected, with the source tensor that they are made of.
    `missing` are parameters that nothing was made for, `unknown` stored tensors that are none, `rounded` those not
    stored in float32 or as whole numbers. `layout` is what the converter took the twin for. `copied` is the
    embedding's tensor where a tied output layer holds it a second time, None where none does.
    """

    twin: Twin
    numbering: Numbering
    actual: Origins
    expected: Origins
    sanitized: Origins
    refusal: str
    dropped: Mapping[str, str]
    stacks: frozenset[str]
    folds: Mapping[str, str]
    computed: Mapping[str, str]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    rounded: tuple[str, ...]
    layout: Mapping[str, Any]
    copied: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """One numbering on disk: what ought to be made of it, and the artifact that was."""

    artifact: Path
    shapes: Mapping[str, tuple[int, ...]]
    expectations: Expectations
    stored: StoredParameters

    @classmethod
    def of(cls, twin: Twin, family: Family, source: Path, artifact: Path) -> "_Pass":
        """Return the pass over the twin in `source` and what was made of it."""
        config = read_config(artifact)
        expectations = Expectations(source, twin.checkpoint, family, config)
        shapes = shapes_of(config) | expectations.tower
        stored = StoredParameters(artifact, shapes)
        return cls(artifact=artifact, shapes=shapes, expectations=expectations, stored=stored)

    def actual(self, name: str) -> Floats:
        parameter = self.stored.by_name[name]
        lead = parameter.shape[0] if parameter.shape else 1
        return stored_floats(self.stored, parameter, 0, lead).reshape(parameter.shape)

    def expected(self, name: str) -> Floats:
        return whole(self.expectations, name, self.shapes[name])


def follow(twin: Twin, family: Family, execute: Executor) -> TraceResult:
    """Return where the elements of `twin` are after `execute`, which may raise what a conversion raises."""
    numbering = Numbering(twin.shapes)
    with tempfile.TemporaryDirectory(prefix="hubbot-tracer-") as name:
        passes = []
        for number in (0, 1):
            source = write_twin(twin, numbering, number, Path(name) / f"source-{number}")
            artifact = execute(source, Path(name) / f"out-{number}")
            passes.append(_Pass.of(twin, family, source, artifact))
        return _located(twin, numbering, passes[0], passes[1])


def _located(twin: Twin, numbering: Numbering, first: _Pass, second: _Pass) -> TraceResult:
    rows, stored, shapes = first.expectations, first.stored, first.shapes
    actual, expected, computed = {}, {}, {}
    for name in shapes:
        due = (first.expected(name), second.expected(name))
        expected[name] = numbering.trace(*due)
        if name not in stored.by_name or stored.by_name[name].mode != "none":
            continue
        found = (first.actual(name), second.actual(name))
        actual[name] = numbering.trace(*found, expected[name].elements)
        if actual[name].is_computed and all(map(np.array_equal, found, due)):
            computed[name] = rows.source_name(name) or ""
    by_class, refusal = _by_class(twin, numbering, read_config(first.artifact), expected)
    return TraceResult(
        twin=twin,
        numbering=numbering,
        actual=actual,
        expected=expected,
        sanitized=by_class,
        refusal=refusal,
        dropped={**rows.dropped, **_stray_biases(rows, shapes)},
        stacks=frozenset(name for name in shapes if rows.place(name)),
        folds={name: reason for name in shapes if (reason := rows.fold(name))},
        computed=computed,
        missing=tuple(name for name in shapes if name not in stored.by_name),
        unknown=tuple(stored.unclaimed),
        rounded=tuple(name for name, info in stored.files.tensors.items() if info.dtype not in {"F32", "I64"}),
        layout=(read_mark(first.artifact) or {}).get("layout") or {},
        copied=rows.copied(tuple(shapes)),
    )


def _stray_biases(rows: Expectations, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Return the biases that no parameter holds; that a source's are zero is for the values gate to see."""
    return {name: ZERO_BIAS for name in rows.unused(set(shapes)) if name.endswith(".bias")}


def _by_class(
    twin: Twin, numbering: Numbering, config: Mapping[str, Any], expected: Origins
) -> tuple[Origins, str]:
    """Return what the class's own sanitize makes of the tensors, or why it makes nothing of them."""
    refusal = ""
    # Where it keeps what is dropped by rule, it is asked about the rest.
    for left_out in (frozenset[str](), frozenset(twin.drops)):
        passes = ({n: values for n, values in numbering.tensors(k) if n not in left_out} for k in (0, 1))
        try:
            first, second = (sanitized(config, tensors) for tensors in passes)
        except StructureMismatch as error:
            refusal = refusal or error.message
            continue
        return {n: numbering.trace(a, second[n], expected[n].elements) for n, a in first.items()}, ""
    return {}, refusal
