"""HunYuan's tokenizer, published as hy.tiktoken and tokenization_hy.py: what the code has to say to be known.

Source: tencent/Hunyuan-A13B-Instruct, tokenization_hy.py. The code is read as text, never run.
"""

import ast
from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.tokenizers.code_literals import constants, defaults, functions, parsed, unknown
from hubbot.catalogue.tokenizers.tiktokens import Reading, Special, general_config

VOCABULARY, CODE = "hy.tiktoken", "tokenization_hy.py"
# What tiktoken cuts text into before it merges bytes.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
NAMED = ("ENDOFTEXT", "STARTOFTEXT", "BOSTOKEN", "EOSTOKEN", "PADTOKEN")
_MOST_EXTRAS = 10_000


def read(code: str, config: Mapping[str, Any]) -> Reading:
    """Return what tokenization_hy.py makes of its vocabulary; NeedsHuman where it is other code than is known.

    `config` is tokenizer_config.json, whose add_bod_token and add_eod_token go before the code's own defaults.
    """
    tree = parsed(code, CODE)
    found = dict(constants(tree.body))
    if found.get("PAT_STR") != PATTERN:
        raise unknown(CODE, "cuts text by another pattern than the known one")
    missing = [name for name in NAMED if not isinstance(found.get(name), str)]
    if missing:
        raise unknown(CODE, f"does not define {missing[0]}")
    if not any(isinstance(node, ast.Constant) and node.value == "NFC" for node in ast.walk(tree)):
        raise unknown(CODE, "does not normalise text to NFC")
    named = tuple(str(found[name]) for name in NAMED)
    tokens = (*named, *(f"<|extra_{number}|>" for number in range(_extras(tree))))
    around = _around(tree, config)
    for key, token in (("bod_token", named[1]), ("eod_token", named[0])):
        if any(around) and config.get(key, token) != token:
            raise unknown(CODE, f"puts {config[key]!r} around a text by tokenizer_config.json")
    return Reading(
        pattern=PATTERN,
        normalizer="NFC",
        specials=tuple(Special(text=token) for token in tokens),
        before=named[1:2] if around[0] else (),
        after=named[:1] if around[1] else (),
        config=general_config(config),
    )


def _extras(tree: ast.Module) -> int:
    """Return how many <|extra_N|> there are: EXTRAS = tuple(f"<|extra_{i}|>" for i in range(N))."""
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "EXTRAS"
        ):
            values = [part.value for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
            numbers = [value for value in values if isinstance(value, int)]
            if len(numbers) == 1 and 0 <= numbers[0] <= _MOST_EXTRAS and "<|extra_" in values and "|>" in values:
                return numbers[0]
    raise unknown(CODE, "does not define EXTRAS as <|extra_0|>, <|extra_1|>, ...")


def _around(tree: ast.Module, config: Mapping[str, Any]) -> tuple[bool, bool]:
    """Say whether the begin- and end-of-text tokens are put around every text."""
    methods = functions(tree)
    if "build_inputs_with_special_tokens" not in methods:
        return False, False
    told = defaults(methods.get("__init__"))
    found = []
    for key in ("add_bod_token", "add_eod_token"):
        value = config.get(key, told.get(key))
        if not isinstance(value, bool):
            raise unknown(CODE, f"puts tokens around a text, and nothing says {key}")
        found.append(value)
    return found[0], found[1]
