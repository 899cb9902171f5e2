"""Gate 1: a complete, self-consistent MLX repo that stock mlx-lm loads strictly, with the source's settings.

Names, shapes, files, hashes, bits, configuration and foreign code; never the numbers inside the tensors.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from hubbot.artifacts import Finding
from hubbot.catalogue.configs.nesting import decoder
from hubbot.catalogue.towers import VISION
from hubbot.checks.structure import finding
from hubbot.checks.structure.configuration import REJECTIONS, check_configuration, effective_fields
from hubbot.checks.structure.decisive_settings import check_decisive_settings
from hubbot.checks.structure.dtypes import check_dtypes
from hubbot.checks.structure.recorded_files import check_code, check_files
from hubbot.checks.structure.side_files import check_side_files, check_token_ids
from hubbot.checks.structure.stored_tensors import check_index, check_tensors
from hubbot.checks.structure.tower import check_tower
from hubbot.checks.structure.user_load import check_user_load
from hubbot.checks.subject import READING_FAULTS, Outcome, Subject
from hubbot.errors import HubbotError
from hubbot.runtime import loading


def check(subject: Subject) -> Outcome:
    """Return the gate's findings; what cannot be read ends them with a failed `readable`."""
    return Outcome(findings=tuple(_findings(subject)))


def _findings(subject: Subject) -> Iterator[Finding]:
    yield from check_files(subject.artifact, subject.digests)
    source = subject.checkpoint.config
    try:
        yield from check_code(subject.config, subject.family)
        yield from check_configuration(source, subject.config, subject.family, is_own=subject.is_own)
        yield from _check_decisive(subject)
        yield from check_token_ids(subject.source, decoder(source), decoder(subject.config))
        yield from check_side_files(
            subject.checkpoint, subject.source, subject.artifact, sees=VISION in subject.config
        )
        yield from check_index(subject.folder, subject.stored)
        yield from check_tensors(subject.stored, subject.shapes, subject.config)
        tower = subject.expected.tower
        yield from check_load(subject.folder, tower)
        yield from check_tower(subject)
        yield from check_user_load(subject.folder)
        yield from check_dtypes(subject.expected, subject.stored, subject.config, is_own=subject.is_own)
    except READING_FAULTS as error:
        yield finding.unreadable(error, subject.folder.name)


def _check_decisive(subject: Subject) -> Iterator[Finding]:
    try:
        fields = effective_fields(subject.config, subject.family)
    except REJECTIONS:
        return  # the check of the configuration has refused it
    yield from check_decisive_settings(subject.checkpoint.config, fields)


def check_load(folder: Path, beside: Collection[str] = ()) -> Iterator[Finding]:
    """Yield findings from a strict stock load: it loads, and its sanitize leaves the artifact alone.

    Tensors `beside` those of the class, a tower's, it leaves out.
    """
    try:
        changed = loading.load_and_resanitize(folder, beside)
    except HubbotError as error:
        yield finding.decided(
            "strict load", "stock mlx_lm.load", error.message, "loads", ok=False, reason="it refuses"
        )
        return
    own = loading.own_file(folder)
    reason = "strict, with trust_remote_code for hubbot's own model file" if own else "strict, no remote code"
    yield finding("strict load", "stock mlx_lm.load", "loads", "loads", "pass", reason)
    yield finding.decided(
        "sanitize idempotent", changed[0] if changed else "all tensors", len(changed), 0, ok=not changed,
        reason="the class's own sanitize would change the finished artifact when it is loaded" if changed
        else "sanitize leaves every tensor as it is",
    )  # fmt: skip
