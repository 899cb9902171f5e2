"""Encode text with an artifact's own tokenizer, as stock mlx-lm loads it. It never loads a model."""

from dataclasses import dataclass
from pathlib import Path

from mlx_lm.utils import load_tokenizer

from hubbot.catalogue.tokenizers import TOKENIZERS
from hubbot.errors import CorruptConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Token ids of a text without special tokens, and the ids that begin every sequence."""

    ids: list[int]
    lead: list[int]


def encode_whole(folder: Path, text: str) -> list[int]:
    """Return the token ids of one text with the special tokens that its tokenizer puts around it.

    Raises CorruptConfig where mlx-lm cannot load or use the folder's tokenizer.
    """
    try:
        return [int(token) for token in load_tokenizer(folder).encode(text)]
    except Exception as error:  # a tokenizer's files can break its loader in any way
        raise CorruptConfig(f"its tokenizer cannot be used: {str(error)[:200]}", where=str(folder)) from error


def encode(folder: Path, blocks: list[str]) -> Encoded | None:
    """Return the token ids of `blocks`, one after another, or None where the folder has no tokenizer.

    Raises CorruptConfig where there is one that mlx-lm cannot load or use.
    """
    if not any((folder / name).is_file() for name in TOKENIZERS) and not list(folder.glob("*.tiktoken")):
        return None
    try:
        tokenizer = load_tokenizer(folder)
        ids = [token for block in blocks for token in tokenizer.encode(block, add_special_tokens=False)]
        first = tokenizer.encode(blocks[0])[:1]
        bos = tokenizer.bos_token_id
    except Exception as error:  # a tokenizer's files can break its loader in any way
        raise CorruptConfig(f"its tokenizer cannot be used: {str(error)[:200]}", where=str(folder)) from error
    return Encoded(ids=ids, lead=first if bos is not None and first == [bos] else [])
