"""Gate 1: a complete, consistent MLX repo whose config says what the source's config says."""

from hubbot.checks.findings import GateFindings

GATE = "structure"
finding = GateFindings(GATE)
