"""The values gate on a part of an artifact, while the part of the source that it was made from is still here.

What it finds is kept with the sha256 of the files it looked at, so that it counts for those bytes and no others.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hubbot.artifacts import Finding
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.checkpoints import Checkpoint
from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.structure.gate import read_config
from hubbot.checks.values.gate import check_values
from hubbot.files.digests import sha256_of
from hubbot.progress import Progress
from hubbot.runtime import loading


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the values gate found on `names`, the parameters in `files` (name -> sha256 when it looked)."""

    names: tuple[str, ...]
    findings: tuple[Finding, ...]
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` takes back."""
        findings = [asdict(finding) for finding in self.findings]
        return {"names": list(self.names), "findings": findings, "files": dict(self.files)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Judged":
        """Rebuild from `to_json`'s data."""
        findings = tuple(Finding(**finding) for finding in data["findings"])
        return cls(names=tuple(data["names"]), findings=findings, files=data["files"])

    @classmethod
    def joined(cls, parts: Iterable["Judged"]) -> "Judged":
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
        yield Finding(
            gate="values", check="judged bytes", subject=wrong[0] if wrong else "all weight files",
            measured=len(wrong), allowed=0, status="fail" if wrong else "pass",
            reason="changed, or never compared, since the source was released" if wrong
            else f"{len(self.files)} files are those that were compared with the source",
        )  # fmt: skip


def judge_part(
    checkpoint: Checkpoint, source: Path, folder: Path, names: Collection[str], progress: Progress
) -> Judged:
    """Return what the values gate finds on parameters `names` of the unfinished artifact in `folder`."""
    config = read_config(folder)
    shapes = {parameter.name: parameter.shape for parameter in loading.skeleton(config)}
    stored = StoredParameters(folder, shapes)
    expected = Expectations(source, checkpoint, BY_MODEL_TYPE[checkpoint.model_type], config)
    wanted = tuple(name for name in names if name in stored.by_name)
    findings = tuple(check_values(expected, stored, progress, only=wanted))
    files = {stored.files.tensors[part].shard for name in wanted for part in stored.stored_names(name)}
    digests = {file: sha256_of(folder / file) for file in sorted(files)}
    return Judged(names=wanted, findings=findings, files=digests)
