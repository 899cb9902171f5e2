"""Gate 1, third part: tokenizer, template and licence files are the source's own, and so are the token ids.

A re-saved tokenizer loses spaces, a lost end-of-text id never stops; both load cleanly and pass every number.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hubbot import plain_json
from hubbot.artifacts import Artifact, Finding
from hubbot.checkpoints import Checkpoint
from hubbot.checks.readers.tiktoken_sources import is_rewritten
from hubbot.checks.structure import finding
from hubbot.checks.structure.rewritten_tokenizer import WRITTEN, check_rewritten_tokenizer
from hubbot.finishing import PROCESSORS, is_side_file, stored_names
from hubbot.sources.licences import is_licence_file, licence_files

TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
GENERATION = "generation_config.json"
TOKENIZER = "tokenizer_config.json"


def check_side_files(
    checkpoint: Checkpoint, source: Path, artifact: Artifact, *, sees: bool = False
) -> Iterator[Finding]:
    """Yield a finding on the copied files; not-run for an artifact that hubbot did not make.

    One that `sees` has the files of its image processor, too.
    """
    if not artifact.files:
        yield finding(
            "side files", "folder", None, None, "not-run",
            "whoever made this may have saved the tokenizer anew; only hubbot promises the source's own bytes",
        )  # fmt: skip
        return
    folder = Path(artifact.path)
    names = {name for place in (source, folder) for name in stored_names(place) if is_side_file(name, sees=sees)}
    names |= {file.path for file in licence_files(checkpoint.repo.id, checkpoint.card, checkpoint.files)}
    held = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names |= {name for name in held if is_licence_file(name)}
    rewritten = WRITTEN if is_rewritten(source) else ()
    wrong = sorted(name for name in names - set(rewritten) if not _is_taken_over(source / name, folder / name))
    yield finding(
        "side files", wrong[0] if wrong else "all side files", len(wrong), 0, "fail" if wrong else "pass",
        "not the source's own file" if wrong else f"{len(names)} files are the source's, byte for byte"
        + (f", but for {' and '.join(rewritten)}, rewritten from the tokenizer's code" if rewritten else ""),
    )  # fmt: skip
    if rewritten:
        yield from check_rewritten_tokenizer(source, folder)


def check_token_ids(source: Path, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding on the ids that start, end and pad a text."""
    generation = _json(source / GENERATION)
    wrong = [
        key
        for key in TOKEN_IDS
        if found.get(key) not in (expected.get(key), generation.get(key, expected.get(key)))
    ]
    subject = f"config.json, {wrong[0]}" if wrong else "config.json"
    yield finding(
        "token ids", subject, found.get(wrong[0]) if wrong else 0, expected.get(wrong[0]) if wrong else 0,
        "fail" if wrong else "pass",
        "not the source's id: the model would start or stop at another token" if wrong else "the source's",
    )  # fmt: skip


def _is_taken_over(source: Path, found: Path) -> bool:
    if not found.is_file() or not source.is_file():
        # A link that leads out of the source is rightly left behind.
        return found.exists() == (source.is_file() and not source.is_symlink())
    if source.read_bytes() == found.read_bytes():
        return True
    if source.name not in (TOKENIZER, *PROCESSORS):
        return False
    # The one change that is made on purpose: a loader must not be sent to another repo's code.
    kept = {key: value for key, value in _json(source).items() if key != "auto_map"}
    return kept == _json(found)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = plain_json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
