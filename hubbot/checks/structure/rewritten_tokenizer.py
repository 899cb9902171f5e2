"""Gate 1 on a tokenizer.json that was made of a source's tiktoken vocabulary and code: it gives the same ids.

A fixed text in many scripts is encoded both ways, by the referee's own encoder from the source's files and by
stock mlx-lm from the artifact's; vocabulary, merges and special tokens are compared as a whole.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hubbot.artifacts import Finding
from hubbot.checks.readers.tiktoken_encoder import Vocabulary
from hubbot.checks.readers.tiktoken_sources import read_source
from hubbot.checks.structure import finding
from hubbot.errors import CorruptConfig
from hubbot.runtime import tokens

CHECK = "rewritten tokenizer"
WRITTEN = ("tokenizer.json", "tokenizer_config.json")
TEXT = (
    "The quick brown fox doesn't jump over 1234 lazy dogs; IT'S 56% there, we'll see.\n\n  Two spaces,\ttabs\r\n"
    "中文字符\uff0c漢字。 かな カナ 한국어 русский текст, Ελληνικά, עברית, "
    "ملف عربي, हिन्दी पाठ, ไทย, café naïve re\u0301sume\u0301, ½ ² Ⅷ ٣٤, 😀👩\u200d👧 ∑∫√ "
    "«quotes» — dash…\u00a0nbsp\u3000wide   \n \n\tdef f(x):\n\t\treturn x**2  # 2^10 = 1_024\n"
    'https://example.org/a?b=c&d=%20 <b>bold</b> {"k": [1, 2.5e-3, null]} 中文mixedCase混合HTTPServer  trailing  '
)
_FLAGS = ("lstrip", "rstrip", "single_word", "normalized")
_UNUSED = (
    "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback"
)  # fmt: skip


def check_rewritten_tokenizer(source: Path, folder: Path) -> Iterator[Finding]:
    """Yield the findings on the artifact in `folder`: the first thing that differs, or one pass."""
    try:
        vocabulary = read_source(source)
        text = TEXT + "".join(vocabulary.special)
        expected = vocabulary.encode(text)
        found = tokens.encode_whole(folder, text)
        wrong = _first_difference(_json(folder / WRITTEN[0]), vocabulary)
        settings = _json(folder / WRITTEN[1])
    except (CorruptConfig, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield finding(CHECK, WRITTEN[0], str(error)[:200], "readable", "fail", "the tokenizer cannot be compared")
        return
    if found != expected:
        at = next((n for n, (one, other) in enumerate(zip(found, expected, strict=False)) if one != other), 0)
        reason = f"a text in many scripts gets other ids than by the source, from token {at} on"
        yield finding(CHECK, WRITTEN[0], found[at : at + 8], expected[at : at + 8], "fail", reason)
    elif wrong:
        yield finding(CHECK, f"{WRITTEN[0]}, {wrong}", "another", "the source's", "fail", "not the source's table")
    elif {key: value for key, value in settings.items() if key != "tokenizer_class"} != vocabulary.settings:
        yield finding(CHECK, WRITTEN[1], "another", "the source's", "fail", "not the source's settings")
    else:
        reason = (
            f"a text in many scripts gets the same {len(expected)} ids by the source's files and by the artifact's"
        )
        yield finding(CHECK, WRITTEN[0], len(found), len(expected), "pass", reason)


def _first_difference(written: dict[str, Any], vocabulary: Vocabulary) -> str:
    """Return which part of tokenizer.json is not the source's, or ""; the text may not show a small one."""
    model, cuts = written["model"], written["pre_tokenizer"]["pretokenizers"]
    splits = [(step.get("pattern"), step.get("behavior")) for step in cuts if step["type"] != "ByteLevel"]
    alphabet = _alphabet()
    named = {"".join(alphabet[byte] for byte in token): rank for token, rank in vocabulary.ranks.items()}
    # (id, text, left out of plain text, with a flag)
    added = [
        (one["id"], one["content"], one["special"], any(map(one.get, _FLAGS))) for one in written["added_tokens"]
    ]
    special = [(number, text, text not in vocabulary.shown, False) for text, number in vocabulary.special.items()]
    is_same = {
        "pre_tokenizer": splits == [({"Regex": vocabulary.pattern}, "Isolated")],
        "normalizer": (written.get("normalizer") or {}).get("type") == vocabulary.normalizer,
        "decoder": (written.get("decoder") or {}).get("type") == "ByteLevel",
        "truncation or padding": not written.get("truncation") and not written.get("padding"),
        "model": model["type"] == "BPE" and model["ignore_merges"] is True and not any(map(model.get, _UNUSED)),
        "vocab": model["vocab"] == named,
        "added_tokens": sorted(added) == sorted(special),
    }
    is_same["merges"] = is_same["vocab"] and _are_merges(model["merges"], vocabulary, named, alphabet)
    return next((part for part, same in is_same.items() if not same), "")


def _are_merges(found: list[Any], vocabulary: Vocabulary, named: dict[str, int], alphabet: dict[int, str]) -> bool:
    """Say whether `found` are the vocabulary's merges, each once, in the order of the tokens that they make."""
    expected = {
        ("".join(alphabet[byte] for byte in one), "".join(alphabet[byte] for byte in other))
        for one, other in vocabulary.merges()
    }
    pairs = [tuple(pair) for pair in found]
    if len(pairs) != len(expected) or set(pairs) != expected:
        return False
    made = [named["".join(pair)] for pair in pairs]
    return made == sorted(made)


def _alphabet() -> dict[int, str]:
    """Return how byte-level tokenizers write each byte as one character (GPT-2's bytes_to_unicode)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def _json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise CorruptConfig(f"{path.name} is no JSON object", where=str(path))
    return value
