"""Gate 1: the artifact loads as its users load it: AutoConfig takes its config, mlx_lm.load model and tokenizer.

An artifact without a tokenizer is told so; it does not pass as if it had one. No code of the folder is run.
"""

import fnmatch
from collections.abc import Iterator
from pathlib import Path

from hubbot.artifacts import Finding
from hubbot.checks.structure import finding
from hubbot.errors import HubbotError
from hubbot.runtime import loading

# What a tokenizer can be made of, without anybody's code.
TOKENIZERS = (
    "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json", "*.tiktoken",
)  # fmt: skip


def check_user_load(folder: Path) -> Iterator[Finding]:
    """Yield one finding on AutoConfig and one on mlx_lm.load with the tokenizer."""
    yield _config_loads(folder)
    yield _user_load(folder)


def _config_loads(folder: Path) -> Finding:
    try:
        known = loading.load_transformers_config(folder)
    except HubbotError as error:
        reason = "transformers does not take config.json, and so neither do its users' tokenizers and tools"
        return finding("config loads", "transformers' AutoConfig", error.message, "loads", "fail", reason)
    if known is None:
        reason = "transformers has no class of this model type"
        return finding("config loads", "transformers' AutoConfig", None, None, "not-applicable", reason)
    return finding("config loads", "transformers' AutoConfig", "loads", "loads", "pass", f"as {known}")


def _user_load(folder: Path) -> Finding:
    if not has_tokenizer(folder):
        reason = "the folder holds no tokenizer: its users have to bring one, and nobody has seen it speak"
        return finding("user load", "mlx_lm.load", "no tokenizer", None, "not-applicable", reason)
    try:
        loading.load_as_a_user(folder)
    except HubbotError as error:
        return finding("user load", "mlx_lm.load", error.message, "loads", "fail", "it refuses")
    return finding("user load", "mlx_lm.load", "loads", "loads", "pass", "model and tokenizer")


def has_tokenizer(folder: Path) -> bool:
    """Say whether `folder` holds the vocabulary of a tokenizer."""
    names = [path.name for path in folder.iterdir()]
    return any(fnmatch.filter(names, pattern) for pattern in TOKENIZERS)
