"""The token ids that both models read: windows of the packaged text, or random ids where there is no tokenizer.

It runs no model.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hubbot.errors import CorruptConfig, WrongUsage
from hubbot.runtime.tokens import encode

CORPUS = "corpus.txt"
# llama-perplexity's default context; each window is scored in its second half, as there.
WINDOW = 512
RANDOM_WINDOW, RANDOM_WINDOWS = 48, 3
SEED = 20_26


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Token ids [windows, tokens]. `obstacle` says why they are no text, so that no tier can apply."""

    ids: npt.NDArray[np.int64]
    name: str
    sha256: str
    obstacle: str | None

    @property
    def scored_from(self) -> int:
        """Return the first position of a window whose prediction counts."""
        return int(self.ids.shape[1]) // 2

    @property
    def scored(self) -> slice:
        """Return the positions whose prediction counts: the last one's true next token is not known."""
        return slice(self.scored_from, -1)

    @property
    def following(self) -> npt.NDArray[np.int64]:
        """Return the true next token [windows, scored] of every scored position."""
        return self.ids[:, self.scored_from + 1 :]


def read_text(folder: Path, corpus: Path | None, *, tokens: int, vocabulary: int, context: int) -> Text:
    """Return about `tokens` tokens of `corpus` (None: the packaged one) in windows of at most `context`.

    Where the artifact in `folder` has no tokenizer that works, the windows hold seeded random ids.
    """
    content = corpus_text(corpus)
    digest = hashlib.sha256(content.encode()).hexdigest()
    name = corpus.name if corpus else "the text that ships with hubbot"
    try:
        encoded = encode(folder, [f"{block}\n\n" for block in content.split("\n\n") if block.strip()])
    except CorruptConfig as error:
        return _random(vocabulary, context, error.message)
    if encoded is None:
        return _random(vocabulary, context, "there is no tokenizer")
    if not encoded.ids:
        return _random(vocabulary, context, "its tokenizer makes nothing of the text")
    if max([*encoded.ids, *encoded.lead]) >= vocabulary:
        return _random(vocabulary, context, "its tokenizer has more tokens than the model")
    window = min(WINDOW, context)
    width = window - len(encoded.lead)
    count = min(max(1, tokens // window), len(encoded.ids) // width)
    if count == 0:
        return _random(vocabulary, context, f"the text is shorter than one window of {window} tokens")
    rows = np.array(encoded.ids[: count * width], np.int64).reshape(count, width)
    lead = np.tile(np.array(encoded.lead, np.int64), (count, 1))
    return Text(ids=np.concatenate([lead, rows], axis=1), name=name, sha256=digest, obstacle=None)


def corpus_text(corpus: Path | None) -> str:
    """Return the text of `corpus`, or the packaged one; WrongUsage where it cannot be read."""
    if corpus is None:
        return (files(__package__) / CORPUS).read_text(encoding="utf-8")
    try:
        content = corpus.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise WrongUsage(f"the corpus cannot be read: {error}", where=str(corpus)) from error
    if not content.strip():
        raise WrongUsage("the corpus is empty", where=str(corpus))
    return content


def _random(vocabulary: int, context: int, obstacle: str) -> Text:
    shape = (RANDOM_WINDOWS, min(RANDOM_WINDOW, context))
    ids = np.random.default_rng(SEED).integers(0, vocabulary, shape)
    return Text(ids=ids, name="seeded random ids", sha256="", obstacle=obstacle)
