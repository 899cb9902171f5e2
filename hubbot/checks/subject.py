"""What the gates are given, and what each gives back: the artifact with its source, and an outcome.

It reads the artifact lazily and judges nothing. What cannot be read raises where it is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hubbot.artifacts import Artifact, Finding
from hubbot.catalogue.families import Family, family_of
from hubbot.catalogue.towers import VISION
from hubbot.checkpoints import Checkpoint
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.readers.artifact_parameters import StoredParameters, read_config, shapes_of
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.readers.hashed_files import hash_files
from hubbot.checks.values.window_findings import WindowFindings
from hubbot.errors import HubbotError
from hubbot.marks import measure, read_mark, recorded
from hubbot.progress import Progress

WHOLE = Examination()
# What reading a broken artifact may raise, whatever is broken about it.
READING_FAULTS = (HubbotError, OSError, ValueError, KeyError, IndexError)
# And what running it may.
RUNNING_FAULTS = (*READING_FAULTS, TypeError, AttributeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a gate found.

    `measurements` are plain data of the behaviour gate, `provenance` is the map of the tracer; each is empty where
    its gate did not measure. `warnings` are what the smoke gate found odd and does not refuse.
    """

    findings: tuple[Finding, ...]
    measurements: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An artifact that is judged against `checkpoint`, whose files lie in folder `source`.

    `window_findings` is what the values gate found while the weights were here, where they have been released
    since. `so_far` holds the findings of the gates that ran before.
    """

    checkpoint: Checkpoint
    source: Path
    artifact: Artifact
    progress: Progress
    examination: Examination = WHOLE
    window_findings: WindowFindings | None = None
    so_far: list[Finding] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Return the artifact's folder."""
        return Path(self.artifact.path)

    @property
    def is_own(self) -> bool:
        """Say whether hubbot made the artifact; then it records its files."""
        return bool(self.artifact.files)

    @property
    def family(self) -> Family:
        """Return the family row of the source; KeyError where the catalogue has none."""
        family = family_of(self.checkpoint)
        if family is None:
            raise KeyError(self.checkpoint.model_type)
        return family

    @cached_property
    def digests(self) -> dict[str, str]:
        """Return the sha256 of every file of the artifact by path, as they were when first asked for."""
        return hash_files(self.folder)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Return the artifact's config.json, or raise CorruptConfig."""
        return read_config(self.folder)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the logical shape of every parameter of model and tower that the config describes."""
        return shapes_of(self.config) | (self.expected.tower if VISION in self.config else {})

    @cached_property
    def stored(self) -> StoredParameters:
        """Return what the artifact stores for these parameters."""
        return StoredParameters(self.folder, self.shapes)

    @cached_property
    def expected(self) -> Expectations:
        """Return what the source says each parameter holds."""
        return Expectations(self.source, self.checkpoint, self.family, self.config)


def subject_of(
    checkpoint: Checkpoint,
    source: Path,
    folder: Path,
    *,
    progress: Progress,
    examination: Examination = WHOLE,
    window_findings: WindowFindings | None = None,
) -> Subject:
    """Return the artifact in `folder` as the gates take it."""
    return Subject(
        checkpoint=checkpoint, source=source, artifact=described(checkpoint, folder), progress=progress,
        examination=examination, window_findings=window_findings,
    )  # fmt: skip


def described(checkpoint: Checkpoint, folder: Path) -> Artifact:
    """Return the artifact in `folder` as its mark describes it, or with nothing recorded where it has none."""
    mark = read_mark(folder) or {}
    return Artifact(
        source=checkpoint.repo,
        variant=str(mark.get("variant", folder.name)),
        path=str(folder),
        files=recorded(mark),
        nbytes=int(measure(mark, "bytes")),
        bits_per_weight=measure(mark, "bits_per_weight"),
    )
