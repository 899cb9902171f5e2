"""Gate 5: the artifact predicts what the unquantized model predicts, within what its variant may lose."""

from hubbot.checks.findings import GateFindings

GATE = "behaviour"
finding = GateFindings(GATE)
