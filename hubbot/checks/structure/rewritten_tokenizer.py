"""Gate 1 on a tokenizer.json that was made of a source's tiktoken vocabulary and code: it gives the same ids.

A fixed text in many scripts is encoded both ways, by the referee's own encoder from the source's files and by
stock mlx-lm from the artifact's; vocabulary, merges and special tokens are compared as a whole.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hubbot.artifacts import Finding
from hubbot.checks.readers.tiktoken_encoder import Vocabulary, read_hunyuan, read_kimi
from hubbot.checks.structure import finding
from hubbot.errors import CorruptConfig
from hubbot.runtime import tokens

CHECK = "rewritten tokenizer"
HUNYUAN, KIMI = "hy.tiktoken", "tiktoken.model"
# With one of these a source has a tokenizer of its own, which is copied.
OWN = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "vocab.txt")
NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")
WRITTEN = ("tokenizer.json", "tokenizer_config.json")
TEXT = (
    "The quick brown fox doesn't jump over 1234 lazy dogs; IT'S 56% there, we'll see.\n\n  Two spaces,\ttabs\r\n"
    "中文字符\uff0c漢字。 かな カナ 한국어 русский текст, Ελληνικά, עברית, "
    "ملف عربي, हिन्दी पाठ, ไทย, café naïve re\u0301sume\u0301, ½ ² Ⅷ ٣٤, 😀👩\u200d👧 ∑∫√ "
    "«quotes» — dash…\u00a0nbsp\u3000wide   \n \n\tdef f(x):\n\t\treturn x**2  # 2^10 = 1_024\n"
    'https://example.org/a?b=c&d=%20 <b>bold</b> {"k": [1, 2.5e-3, null]}  trailing  '
)


def is_rewritten(source: Path) -> bool:
    """Say whether the source holds its tokenizer only in a form that is rewritten."""
    own = any((source / name).is_file() for name in OWN)
    return not own and any((source / name).is_file() for name in (HUNYUAN, KIMI))


def check_rewritten_tokenizer(source: Path, folder: Path) -> Iterator[Finding]:
    """Yield the finding on the artifact in `folder`: the first thing that differs, or that nothing does."""
    try:
        config = _json(source / WRITTEN[1]) if (source / WRITTEN[1]).is_file() else {}
        vocabulary = _vocabulary(source, config)
        text = TEXT + "".join(vocabulary.special)
        expected = vocabulary.encode(text)
        found = tokens.encode_whole(folder, text)
        wrong = _first_difference(_json(folder / WRITTEN[0]), vocabulary)
        settings = _json(folder / WRITTEN[1])
    except (CorruptConfig, OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        yield finding(CHECK, WRITTEN[0], str(error)[:200], "readable", "fail", "the tokenizer cannot be compared")
        return
    if found != expected:
        at = next((n for n, (one, other) in enumerate(zip(found, expected, strict=False)) if one != other), 0)
        reason = f"a text in many scripts gets other ids than by the source, from token {at} on"
        yield finding(CHECK, WRITTEN[0], found[at : at + 8], expected[at : at + 8], "fail", reason)
    elif wrong:
        yield finding(CHECK, f"{WRITTEN[0]}, {wrong}", "another", "the source's", "fail", "not the source's table")
    elif not _are_settings(settings, config, vocabulary):
        yield finding(CHECK, WRITTEN[1], "another", "the source's", "fail", "not the source's settings")
    else:
        reason = (
            f"a text in many scripts gets the same {len(expected)} ids by the source's files and by the artifact's"
        )
        yield finding(CHECK, WRITTEN[0], len(found), len(expected), "pass", reason)


def _vocabulary(source: Path, config: dict[str, Any]) -> Vocabulary:
    if (source / KIMI).is_file():
        code = _code(source, config)
        return read_kimi((source / KIMI).read_bytes(), code, config)
    return read_hunyuan((source / HUNYUAN).read_bytes(), _text(source / "tokenization_hy.py"), config)


def _code(source: Path, config: dict[str, Any]) -> str | None:
    """Return the text of the tokenizer's code: the file that auto_map names, else the only one there is."""
    named = re.search(r"(tokenization_\w+)\.\w+", json.dumps(config.get("auto_map") or {}))
    files = [source / f"{named[1]}.py"] if named else sorted(source.glob("tokenization_*.py"))
    return _text(files[0]) if files and files[0].is_file() else None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _first_difference(written: dict[str, Any], vocabulary: Vocabulary) -> str:
    """Return which part of tokenizer.json is not the source's, or ""."""
    model, cuts = written["model"], written["pre_tokenizer"]["pretokenizers"]
    splits = [(step.get("pattern"), step.get("behavior")) for step in cuts if step["type"] != "ByteLevel"]
    if splits != [({"Regex": vocabulary.pattern}, "Isolated")]:
        return "pre_tokenizer"  # a small vocabulary may not show it in any text
    alphabet = _alphabet()
    named = {"".join(alphabet[byte] for byte in token): rank for token, rank in vocabulary.ranks.items()}
    if model["vocab"] != named:
        return "vocab"
    special = {item["content"]: item["id"] for item in written["added_tokens"]}
    first, count = len(named), vocabulary.count or len(special)
    known = {number: token for token, number in vocabulary.special.items()}
    names = {number: {known.get(number, f"<|reserved_token_{number}|>")} for number in range(first, first + count)}
    for number in names.keys() & vocabulary.perhaps.keys():
        names[number].add(vocabulary.perhaps[number])
    is_named = all(token in names.get(number, ()) for token, number in special.items())
    if not is_named or len(special) != count or not vocabulary.special.items() <= special.items():
        return "added_tokens"
    rank = {
        tuple("".join(alphabet[b] for b in part) for part in pair): n for n, pair in enumerate(vocabulary.merges())
    }
    found = [tuple(pair) for pair in model["merges"]]
    made = [named["".join(pair)] for pair in found if pair in rank]
    return "" if len(found) == len(set(found)) == len(rank) == len(made) and made == sorted(made) else "merges"


def _are_settings(written: dict[str, Any], config: dict[str, Any], vocabulary: Vocabulary) -> bool:
    """Say whether tokenizer_config.json is the source's without its code, or with what that code says besides."""
    left_out = {"auto_map", "tokenizer_class", "clean_up_tokenization_spaces"}
    kept = {key: value for key, value in config.items() if key not in left_out}
    more = {key: value for key, value in written.items() if key not in left_out and key not in kept}
    is_kept = all(written.get(key) == value for key, value in kept.items())
    # Kimi's class gives a decoded text back as it is; HunYuan's leaves that to the config.
    clean = config.get("clean_up_tokenization_spaces") if vocabulary.is_composed else False
    names = all(key in NAMED and value in vocabulary.special for key, value in more.items())
    return is_kept and names and written.get("clean_up_tokenization_spaces") == clean


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
