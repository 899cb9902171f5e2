"""Gate 1 on a tower: it is there where it ought to be, its config is the source's, and mlx-vlm loads the repo.

What its tensors hold is judged by the values gate, as for every other tensor.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hubbot.artifacts import Finding
from hubbot.catalogue.configs.nesting import TEXT, look_up
from hubbot.catalogue.tensors import TOWER
from hubbot.catalogue.towers import VISION, Tower
from hubbot.checks.structure import finding
from hubbot.checks.subject import Subject
from hubbot.errors import HubbotError
from hubbot.marks import read_mark
from hubbot.runtime import vision


def check_tower(subject: Subject) -> Iterator[Finding]:
    """Yield findings on the tower of a source that sees; none where the source does not."""
    mark = read_mark(subject.folder) or {}
    kept, dropped = subject.expected.tower, subject.expected.dropped
    if not kept:
        if mark.get("sees"):
            yield finding("tower", "config.json", "none", "a tower", "fail", "the mark says that it can see")
        elif VISION in subject.config:
            yield finding(
                "tower", "config.json, vision_config", "a tower", "none", "fail",
                "the config promises a tower that the repo does not hold",
            )  # fmt: skip
        elif TOWER in dropped.values():
            told = str(mark.get("text_only") or "whoever made it left the tower out")
            yield finding("tower", "artifact", None, None, "not-applicable", f"text only: {told}")
        return
    assert isinstance(subject.family.tower, Tower), "its tensors are expected by the row"
    source = subject.checkpoint.config
    wrong = [
        (key, found, wanted)
        for key, found, wanted in _contradictions(source, subject.config, subject.family.tower)
        if subject.is_own or not _says_the_source(key, found, source)
    ]
    for key, found, wanted in wrong:
        yield finding(
            "tower", f"config.json, {key}", found, wanted, "fail", "not what the source's config says of images"
        )
    if not wrong:
        yield finding(
            "tower", "config.json", len(kept), len(kept), "pass",
            f"{len(kept)} tensors of the tower, and what mlx-vlm reads of the config is the source's",
        )  # fmt: skip
    yield _loads(subject)


def _contradictions(
    source: Mapping[str, Any], artifact: Mapping[str, Any], tower: Tower
) -> Iterator[tuple[str, Any, Any]]:
    """Yield (key, found, wanted) of what the artifact's config says of images and the source's does not."""
    text = artifact.get(TEXT) or {}
    wanted: dict[tuple[str, ...], Any] = {
        **{(key,): source[key] for key in tower.outer if source.get(key) is not None},
        **{(key,): value for key, value in tower.told(source).items()},
        **{(TEXT, key): value for key, value in tower.text(source).items()},
        **{(VISION, key): value for key, value in {**source[VISION], **tower.vision(source)}.items()},
    }
    places: Mapping[str, Any] = {TEXT: text, VISION: artifact.get(VISION) or {}}
    for path, value in wanted.items():
        place = places.get(path[0], artifact) if len(path) > 1 else artifact
        found = place.get(path[-1]) if isinstance(place, Mapping) else None
        if found != value:
            yield ".".join(path), found, value


def _says_the_source(key: str, found: Any, source: Mapping[str, Any]) -> bool:
    """Say whether an artifact by others says of images what its source says, in the source's own words.

    What it says of the text is judged field by field, as mlx-lm reads it.
    """
    return key.startswith(f"{TEXT}.") or found is None or found == look_up(source, key)


def _loads(subject: Subject) -> Finding:
    version = vision.version()
    if version is None:
        return finding.not_run("mlx-vlm is not installed (hubbot[vision])", subject="mlx-vlm load")
    try:
        vision.load(subject.folder)
    except HubbotError as error:
        return finding(
            "strict load", f"mlx-vlm {version}", error.message, "loads", "fail", "its own loader refuses the repo"
        )
    return finding("strict load", f"mlx-vlm {version}", "loads", "loads", "pass", "strict, tower and text")
