"""Gate 2: on a shrunken model with numbered elements, where the converter puts every element of the source."""

from hubbot.checks.findings import GateFindings

GATE = "tracer"
finding = GateFindings(GATE)
