"""The tokenizers that makers publish as a tiktoken vocabulary and code: HunYuan's and Kimi's, read as text.

Sources: tencent/Hunyuan-A13B-Instruct; moonshotai/Kimi-K2-Instruct, Kimi-K2.5, Kimi-Linear-48B-A3B-Instruct and
Moonlight-16B-A3B-Instruct. It runs no code, and shares none with the converter, which reads the same files.
"""

import ast
import base64
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from hubbot.checks.readers.tiktoken_encoder import Vocabulary
from hubbot.errors import CorruptConfig

SETTINGS = "tokenizer_config.json"
HUNYUAN, HUNYUAN_CODE, KIMI = "hy.tiktoken", "tokenization_hy.py", "tiktoken.model"
# A repo with one of these has a tokenizer that loads as it is; nothing is rewritten then.
LOADABLE = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "vocab.txt")
# How each maker's code cuts a text; code that says anything else is not judged.
HUNYUAN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
KIMI_PATTERN = (
    r"[\p{Han}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# In HunYuan's code, in the order of their ids.
HUNYUAN_NAMES = ("ENDOFTEXT", "STARTOFTEXT", "BOSTOKEN", "EOSTOKEN", "PADTOKEN")
# How many ids behind the vocabulary are special in the published code of each model type, and their texts where
# tokenizer_config.json lists none: text, place behind the vocabulary, whether plain text still shows it.
KIMI_SPECIAL = "kimi_special_tokens.json"
_MOST_CODE, _MOST_SETTINGS, _MOST_VOCABULARY, _MOST_SPECIAL = 1 << 18, 16 << 20, 64 << 20, 100_000


def is_rewritten(source: Path) -> bool:
    """Say whether the source holds its tokenizer only in a form that is rewritten."""
    held = (source / KIMI).is_file() or ((source / HUNYUAN).is_file() and (source / HUNYUAN_CODE).is_file())
    return held and not any((source / name).is_file() for name in LOADABLE)


def read_source(source: Path) -> Vocabulary:
    """Return what the tokenizer's files in folder `source` say.

    Raises CorruptConfig where a file is damaged or the code is other code than this reader knows; OSError where a
    file cannot be read.
    """
    try:
        told = json.loads(_read(source / SETTINGS, _MOST_SETTINGS)) if (source / SETTINGS).is_file() else {}
        if not isinstance(told, dict):
            raise CorruptConfig(f"{SETTINGS} is no JSON object")
        kept = {key: value for key, value in told.items() if key not in {"auto_map", "tokenizer_class"}}
        if (source / KIMI).is_file():
            return _kimi(source, told, kept)
        return _hunyuan(source, kept)
    except (ValueError, IndexError, SyntaxError, RecursionError, MemoryError) as error:
        raise CorruptConfig(f"the tokenizer's files cannot be read: {str(error)[:160]}") from error


def _hunyuan(source: Path, kept: dict[str, Any]) -> Vocabulary:
    code = ast.parse(_read(source / HUNYUAN_CODE, _MOST_CODE).decode(errors="replace"))
    ranks = {token: line for line, (token, _) in enumerate(_lines(source / HUNYUAN))}
    said = _assigned(code)
    _check_pattern(said.get("PAT_STR"), HUNYUAN_PATTERN)
    texts = [text for text in map(said.get, HUNYUAN_NAMES) if isinstance(text, str)]
    extras = re.search(r"^EXTRAS = .*?range\((\d{1,5})\)", ast.unparse(code), re.MULTILINE)
    lost = next((name for name in HUNYUAN_NAMES if not isinstance(said.get(name), str)), "EXTRAS")
    if lost != "EXTRAS" or extras is None:
        raise CorruptConfig(f"the tokenizer's code does not define {lost}")
    texts += [f"<|extra_{number}|>" for number in range(int(extras[1]))]
    special = {text: len(ranks) + place for place, text in enumerate(texts)}
    puts = {key: kept.get(key, value) for key, value in _defaults(code).items()}
    around = any(_functions(code, "build_inputs_with_special_tokens"))
    return Vocabulary(
        pattern=HUNYUAN_PATTERN,
        normalizer="NFC",
        ranks=ranks,
        special=special,
        before=(special[texts[1]],) if around and puts.get("add_bod_token") else (),
        after=(special[texts[0]],) if around and puts.get("add_eod_token") else (),
        settings=kept,
    )


def _kimi(source: Path, told: Mapping[str, Any], kept: dict[str, Any]) -> Vocabulary:
    ranks = dict(_lines(source / KIMI))
    config = json.loads(_read(source / "config.json", _MOST_SETTINGS))
    model_type = config.get("model_type") if isinstance(config, dict) else None
    code = _kimi_code(source, told)
    known = json.loads(resources.files("hubbot.checks.readers").joinpath(KIMI_SPECIAL).read_bytes())
    said, reserved = {"bos_token": "[BOS]", "eos_token": "[EOS]"}, known["reserved"].get(model_type, 258)
    if code is not None:
        _check_pattern(_assigned(code).get("pat_str"), KIMI_PATTERN)
        reserved = _reserved(code, reserved)
        names = ("bos_token", "eos_token", "pad_token", "unk_token")
        said |= {key: value for key, value in _defaults(code).items() if key in names and isinstance(value, str)}
    elif model_type not in known["reserved"]:
        raise CorruptConfig(f"{KIMI} stands without code, and model type {str(model_type)[:40]!r} is not known")
    tokens = {place: (f"<|reserved_token_{place}|>", True) for place in range(len(ranks), len(ranks) + reserved)}
    listed = kept.get("added_tokens_decoder")
    if isinstance(listed, dict) and listed:
        tokens |= {int(key): (str(v["content"]), v.get("special") is not True) for key, v in listed.items()}
    else:
        places = known["places"] + known["more_places"].get(model_type, [])
        tokens |= {len(ranks) + place: (text, is_shown) for text, place, is_shown in places}
    if len(tokens) != reserved or len({text for text, _ in tokens.values()}) != reserved:
        raise CorruptConfig(f"{SETTINGS} gives a special token an id that the code does not, or two ids")
    special = {text: number for number, (text, _) in tokens.items()}
    return Vocabulary(
        pattern=KIMI_PATTERN,
        normalizer=None,
        ranks=ranks,
        special=special,
        shown=frozenset(text for text, is_shown in tokens.values() if is_shown),
        settings={key: text for key, text in said.items() if text in special}
        | kept
        | {"clean_up_tokenization_spaces": False},
    )


def _kimi_code(source: Path, told: Mapping[str, Any]) -> ast.Module | None:
    """Return the code that auto_map names, else the only one there, or None where there is none."""
    files = {path.stem: path for path in sorted(source.glob("tokenization_*.py"))}
    named = re.search(r"tokenization_\w+(?=\.)", json.dumps(told.get("auto_map")))
    if named and named[0] in files:
        files = {named[0]: files[named[0]]}
    if len(files) > 1:
        raise CorruptConfig("nobody says which of several files is the tokenizer's code")
    code = [_read(path, _MOST_CODE).decode(errors="replace") for path in files.values()]
    return ast.parse(code[0]) if code else None


def _reserved(code: ast.Module, published: int) -> int:
    """Return how many ids behind the vocabulary are special; `published` where the code does not count them."""
    text = ast.unparse(code)
    ranges = re.findall(r"range\((\w+), (\w+) \+ self\.num_reserved_special_tokens(?: \+ (\d{1,4}))?\)", text)
    number = _assigned(code).get("num_reserved_special_tokens")
    if not isinstance(number, int) or not 0 < number <= _MOST_SPECIAL:
        raise CorruptConfig("the tokenizer's code does not say num_reserved_special_tokens")
    if not ranges and ".num_reserved_special_tokens" not in text:
        return published
    if len(ranges) != 1 or ranges[0][0] != ranges[0][1]:
        raise CorruptConfig("the tokenizer's code does not say how many ids are special")
    return number + int(ranges[0][2] or 0)


def _lines(path: Path) -> list[tuple[bytes, int]]:
    """Return token and rank of every line "base64 rank"."""
    lines = [line.split() for line in _read(path, _MOST_VOCABULARY).splitlines() if line.strip()]
    found = [(base64.b64decode(line[0], validate=True), int(line[1])) for line in lines]
    if len({token for token, _ in found}) != len(found):
        raise CorruptConfig(f"{path.name} holds a token twice")
    return found


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise CorruptConfig(f"{path.name} has more than {most} bytes")
    return data


def _check_pattern(said: object, known: str) -> None:
    if said != known:
        raise CorruptConfig("the tokenizer's code cuts text by another pattern than the referee knows")


def _assigned(code: ast.Module) -> dict[str, object]:
    """Return the literals assigned to names, at the top or in a class; "x".join([...]) counts as one."""
    places = [code.body, *(node.body for node in code.body if isinstance(node, ast.ClassDef))]
    found: dict[str, object] = {}
    for node in (node for body in places for node in body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            parts: list[ast.expr] = [node.value]
            if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
                parts = [node.value.func.value, *node.value.args] if node.value.func.attr == "join" else []
            try:
                values = [ast.literal_eval(part) for part in parts]
            except (ValueError, TypeError):
                continue
            if len(values) == 1:
                found[node.targets[0].id] = values[0]
            elif len(values) == 2 and isinstance(values[0], str) and isinstance(values[1], list | tuple):
                found[node.targets[0].id] = values[0].join(map(str, values[1]))
    return found


def _functions(code: ast.Module, name: str) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(code) if isinstance(node, ast.FunctionDef) and node.name == name]


def _defaults(code: ast.Module) -> dict[str, object]:
    """Return the default values of __init__ that are plain constants."""
    found: dict[str, object] = {}
    for function in _functions(code, "__init__"):
        values = function.args.defaults
        names = function.args.args[len(function.args.args) - len(values) :]
        found |= {n.arg: v.value for n, v in zip(names, values, strict=True) if isinstance(v, ast.Constant)}
    return found
