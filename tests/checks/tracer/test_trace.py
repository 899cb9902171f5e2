"""Every family's references through the converter, smaller than they are: all three agree."""

import pytest

from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.checks.tracer.trace_findings import is_same, judge_trace
from tests.checkpoints_on_disk import CONVERTIBLE, Workshop
from tests.checks.tracer.tracing import traced

FORMS = ("v5", "transposed", "mtp", "orig")
# One source per model type, and what is no mere dtype or packing of it: those are gone in a twin.
BRIEF = {made.model_type: made.name for form in FORMS for made in CONVERTIBLE if made.form == form}
KINDS = [*BRIEF.values(), *(made.name for made in CONVERTIBLE if made.form in {"transposed", "mtp"})]
OTHERS = [made.name for made in CONVERTIBLE if made.form in FORMS and made.name not in KINDS]


@pytest.mark.parametrize(
    "name", [*dict.fromkeys(KINDS), *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS)]
)
def test_every_element_is_where_the_rows_promise_it(workshop: Workshop, name: str) -> None:
    found = traced(workshop, name)
    for parameter, expected in found.expected.items():
        assert parameter in found.computed or is_same(found.actual[parameter], expected), parameter
    assert [finding for finding in judge_trace(found) if finding.status == "fail"] == []
    assert not found.rounded


def test_every_model_type_is_among_them() -> None:
    assert set(BRIEF) == set(BY_MODEL_TYPE)
