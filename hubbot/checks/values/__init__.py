"""Gate 3: every number of the artifact is the source's number, as exactly as its encoding allows."""

from hubbot.checks.findings import GateFindings

GATE = "values"
finding = GateFindings(GATE)
