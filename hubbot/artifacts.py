"""Artifact, Finding, Report, Approved, Publication: what was made, what was measured, what may leave.

Only `Report.approve` makes an Approved, and publishing takes nothing else. It never measures by itself.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from hubbot.checkpoints import FileInfo, Repo
from hubbot.errors import Disproved, StructureMismatch, ValueMismatch

Status = Literal["pass", "fail", "not-run", "not-applicable"]
GATES = ("structure", "tracer", "values", "parity", "behaviour")
# A report without these passes nothing, whatever else it holds (the design, section 4).
REQUIRED_GATES = ("structure", "values")
# One without these neither, unless it says why they do not apply.
APPLICABLE_GATES = ("tracer",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A complete MLX repo in a folder of this machine; every file but hubbot.json is listed with its sha256."""

    source: Repo
    variant: str
    path: str
    files: tuple[FileInfo, ...]
    nbytes: int
    bits_per_weight: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` takes back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Artifact":
        """Rebuild an artifact from `to_json`'s data."""
        files = tuple(FileInfo(**file) for file in data["files"])
        return cls(**{**data, "source": Repo(**data["source"]), "files": files})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check of one gate: what was measured, what was allowed, and why it stands as it does."""

    gate: str
    check: str
    subject: str
    measured: Any
    allowed: Any
    status: Status
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All findings about one artifact. `digests` are the sha256 of the files that were judged, by path.

    `measurements` are what the behaviour gate measured, whether or not it decides; `provenance` is the map of the
    tracer: where parameters come from. Each is empty where its gate did not run. `seconds` are those that
    each gate took, and "hashing" before them.
    """

    artifact: Artifact
    findings: tuple[Finding, ...]
    digests: Mapping[str, str]
    measurements: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def gates(self) -> dict[str, Status]:
        """Return one status per gate: fail beats everything, no finding at all is not-run."""
        return {gate: self._status(gate) for gate in GATES}

    def _status(self, gate: str) -> Status:
        statuses = {finding.status for finding in self.findings if finding.gate == gate}
        for status in ("fail", "pass", "not-applicable"):
            if status in statuses:
                return status
        return "not-run"

    @property
    def tier(self) -> str | None:
        """Return good, marginal or refused by divergence from the unquantized model, None where not measured."""
        judged = (f for f in self.findings if f.gate == "behaviour" and f.check == "tier")
        finding = next(judged, None)
        return finding.reason.partition(":")[0] if finding and finding.status in {"pass", "fail"} else None

    @property
    def kl_mean(self) -> float | None:
        """Return the mean KL divergence from the unquantized model in nats, None where not measured."""
        return self.measurements["divergence"]["kl_mean"]["value"] if self.tier else None

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Return the findings that stand against publication."""
        return tuple(finding for finding in self.findings if finding.status == "fail")

    @property
    def verdict(self) -> Literal["approved", "refused"]:
        """Return "approved" where nothing failed and every gate passed that must."""
        return "refused" if self.failures or self.missing else "approved"

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the gates that have to pass and did not run."""
        gates = self.gates
        required = [gate for gate in REQUIRED_GATES if gates[gate] != "pass"]
        return (*required, *(gate for gate in APPLICABLE_GATES if gates[gate] == "not-run"))

    def approve(self) -> "Approved":
        """Return the artifact as approved; raises StructureMismatch or ValueMismatch with the worst finding."""
        if self.verdict == "approved":
            return Approved(report=self)
        raise self._objection()

    def _objection(self) -> Disproved:
        if not self.failures:
            reasons = [f.reason for f in self.findings if f.gate in self.missing and f.status == "not-run"]
            told = f"{reasons[0]}: " if reasons else ""
            return StructureMismatch(f"{told}no gate failed, but {' and '.join(self.missing)} did not pass")
        worst = self.failures[0]
        kind = ValueMismatch if worst.gate == "values" else StructureMismatch
        more = f", and {len(self.failures) - 1} more findings" if len(self.failures) > 1 else ""
        return kind(
            f"{worst.check}: {worst.reason}; measured {worst.measured}, allowed {worst.allowed}{more}",
            where=f"{self.artifact.variant}, {worst.subject}",
            hint="this variant is not published; `hubbot verify SOURCE ARTIFACT` shows every finding",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the verify command's JSON with what is needed to rebuild the report."""
        return {
            "verdict": self.verdict,
            "gates": self.gates,
            "findings": [asdict(finding) for finding in self.findings],
            "measurements": dict(self.measurements),
            "provenance": dict(self.provenance),
            "seconds": dict(self.seconds),
            "artifact": self.artifact.to_json(),
            "digests": dict(self.digests),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Report":
        """Rebuild a report from `to_json`'s data; verdict and gates are derived again, not believed."""
        return cls(
            artifact=Artifact.from_json(data["artifact"]),
            findings=tuple(Finding(**finding) for finding in data["findings"]),
            digests=data["digests"],
            measurements=data.get("measurements", {}),
            provenance=data.get("provenance", {}),
            seconds=seconds_of(data.get("seconds")),
        )


def seconds_of(data: object) -> dict[str, float]:
    """Return seconds by stage as a report.json holds them, without what is no number or has no end."""
    found = data.items() if isinstance(data, dict) else ()
    return {
        name: float(value)
        for name, value in found
        if isinstance(name, str) and isinstance(value, int | float) and 0 <= value < math.inf
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """An artifact whose report lets it leave this machine; making one from a refused report raises."""

    report: Report

    def __post_init__(self) -> None:
        if self.report.verdict != "approved":
            raise StructureMismatch("a refused report cannot be approved", where=self.report.artifact.path)

    @property
    def artifact(self) -> Artifact:
        """Return the artifact that was judged."""
        return self.report.artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One variant on the Hub: `revision` is the commit that completed it.

    `owed` says which courtesies (tag, collection) the Hub refused, and why.
    """

    source: Repo
    variant: str
    repo_id: str
    revision: str
    private: bool
    url: str
    owed: Mapping[str, str] = field(default_factory=dict)
