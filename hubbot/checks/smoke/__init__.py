"""The smoke gate: the artifact speaks as its users will let it speak; it proves nothing about numbers."""

from hubbot.checks.findings import GateFindings

GATE = "smoke"
finding = GateFindings(GATE)
