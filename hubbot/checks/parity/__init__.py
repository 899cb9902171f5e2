"""Gate 4: transformers and the artifact's runtime compute the same function, shown on a shrunken model."""

from hubbot.checks.findings import GateFindings

GATE = "parity"
finding = GateFindings(GATE)
