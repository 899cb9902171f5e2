"""What the values gate found on parts of an artifact while their part of the source was here, as plain data.

It is kept with the sha256 of the files that were compared, so that it counts for those bytes and no others.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hubbot.artifacts import Finding
from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.checks.values import finding


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFindings:
    """What the values gate found on `names`, the parameters in `files` (name -> sha256 when it looked)."""

    names: tuple[str, ...]
    findings: tuple[Finding, ...]
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` takes back."""
        findings = [asdict(finding) for finding in self.findings]
        return {"names": list(self.names), "findings": findings, "files": dict(self.files)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "WindowFindings":
        """Rebuild from `to_json`'s data."""
        findings = tuple(Finding(**finding) for finding in data["findings"])
        return cls(names=tuple(data["names"]), findings=findings, files=data["files"])

    @classmethod
    def joined(cls, parts: Iterable["WindowFindings"]) -> "WindowFindings":
        """Return several parts as one."""
        known = list(parts)
        return cls(
            names=tuple(name for part in known for name in part.names),
            findings=tuple(finding for part in known for finding in part.findings),
            files={file: sha256 for part in known for file, sha256 in part.files.items()},
        )

    def findings_on(self, stored: StoredParameters, digests: Mapping[str, str]) -> Iterator[Finding]:
        """Yield the findings, and a refusal where the artifact's files or parameters are not those judged."""
        yield from self.findings
        changed = sorted(file for file, sha256 in self.files.items() if digests.get(file) != sha256)
        unseen = sorted(set(stored.by_name) - set(self.names))
        wrong = [*changed, *unseen]
        yield finding.decided(
            "judged bytes", wrong[0] if wrong else "all weight files", len(wrong), 0, ok=not wrong,
            reason="changed, or never compared, since the source was released" if wrong
            else f"{len(self.files)} files are those that were compared with the source",
        )  # fmt: skip
