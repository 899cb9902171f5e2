"""Gate 1: every unquantized tensor has the dtype that it ought to have, whatever its numbers.

A router's bias held in float32 decides between experts by its last bits (sgl-project/sglang #37133: in bfloat16
98 % of the tokens go elsewhere), and a bias that was rounded is exactly what a 16-bit dtype can hold: only the
dtype itself tells.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from hubbot.artifacts import Finding
from hubbot.catalogue.variants.roles import PROTECTED, role_of
from hubbot.checkpoints import FLOAT_DTYPES
from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.structure import finding

NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def check_dtypes(
    expected: Expectations, stored: StoredParameters, config: Mapping[str, Any], *, is_own: bool
) -> Iterator[Finding]:
    """Yield findings on the dtypes; `is_own` says that hubbot made the artifact and keeps its own rules."""
    plain = [p for p in stored.by_name.values() if p.mode == "none" and p.dtype in FLOAT_DTYPES]
    main = _main_dtype([p for p in plain if p.name not in expected.tower], expected)
    wrong = [(p, allowed) for p in plain if p.dtype not in (allowed := _allowed(p, expected, main, is_own=is_own))]
    first, allowed = wrong[0] if wrong else (None, frozenset())
    yield finding.decided(
        "dtypes", first.name if first else "unquantized tensors", first.dtype if first else 0,
        " or ".join(sorted(allowed)) if first else 0, ok=not first,
        reason=f"{len(wrong)} tensors have a dtype that nobody asked for" if first
        else f"{main} and what the source holds in float32",
    )  # fmt: skip
    tables = [p for p in stored.by_name.values() if p.mode == "none" and p.dtype not in FLOAT_DTYPES]
    for table in tables:
        if table.dtype != (said := expected.source_dtype(table.name)):
            yield finding(
                "dtypes", table.name, table.dtype, said or "none", "fail", "a table has the dtype of its source"
            )
    norms = [NAMES[p.dtype] for p in plain if role_of(p.name) == "norm" and p.name not in expected.tower]
    said = config.get("dtype")
    if is_own and norms and said != norms[0]:
        yield finding(
            "dtypes", "config.json, dtype", said, norms[0], "fail",
            "the config names another dtype than the tensors have",
        )  # fmt: skip


def _main_dtype(plain: list[StoredParameter], expected: Expectations) -> str:
    free = [p.dtype for p in plain if not _is_protected(p, expected)]
    return Counter(sorted(free)).most_common(1)[0][0] if free else "F32"


def _allowed(parameter: StoredParameter, expected: Expectations, main: str, *, is_own: bool) -> frozenset[str]:
    if is_own and parameter.name in expected.tower:
        return frozenset({expected.source_dtype(parameter.name) or main})
    if _is_protected(parameter, expected) and (is_own or not _is_matrix(parameter)):
        return frozenset({"F32"})
    if is_own:
        return frozenset({main})
    # Others may leave what they do not quantize as it was; float32 holds every 16-bit number.
    return frozenset({main, "F32", expected.source_dtype(parameter.name) or main})


def _is_protected(parameter: StoredParameter, expected: Expectations) -> bool:
    return role_of(parameter.name) in PROTECTED and expected.source_dtype(parameter.name) == "F32"


def _is_matrix(parameter: StoredParameter) -> bool:
    # A router's weight may be quantized to eight bits; sixteen are no worse.
    return len(parameter.shape) > 1
