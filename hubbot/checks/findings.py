"""How a gate words what it found: one maker of findings for each gate, under the gate's name in the report."""

from dataclasses import dataclass
from typing import Any

from hubbot.artifacts import Finding, Status

UNREADABLE = "the artifact cannot be read as what it claims to be"


@dataclass(frozen=True, slots=True)
class GateFindings:
    """Makes the findings of the gate that is called `gate` in the report."""

    gate: str

    def __call__(
        self, check: str, subject: str, measured: Any, allowed: Any, status: Status, reason: str
    ) -> Finding:
        """Return a finding of this gate."""
        return Finding(
            gate=self.gate, check=check, subject=subject, measured=measured, allowed=allowed, status=status,
            reason=reason,
        )  # fmt: skip

    def decided(self, check: str, subject: str, measured: Any, allowed: Any, *, ok: bool, reason: str) -> Finding:
        """Return a finding that passes where `ok`, and fails otherwise."""
        return self(check, subject, measured, allowed, "pass" if ok else "fail", reason)

    def not_run(self, reason: str, *, subject: str = "artifact") -> Finding:
        """Return that the gate could not run on `subject`, and why; it never counts as passed."""
        return self(self.gate, subject, None, None, "not-run", reason)

    def unreadable(self, error: Exception, name: str) -> Finding:
        """Return that reading the artifact called `name` ended in `error`."""
        where = str(getattr(error, "where", None) or name)
        told = str(error)[:300] or type(error).__name__
        return self("readable", where, told, "readable", "fail", UNREADABLE)

    def broken(self, error: Exception) -> Finding:
        """Return that running the artifact ended in `error`."""
        where = str(getattr(error, "where", None) or "artifact")
        return self(
            "runs", where, f"{type(error).__name__}: {str(error)[:300]}", "runs", "fail", "it cannot be run"
        )
