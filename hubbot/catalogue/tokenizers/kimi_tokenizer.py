"""Kimi's tokenizer, published as tiktoken.model and Python code: what the code has to say to be known.

Sources: moonshotai/Kimi-K2-Instruct, Kimi-K2.5 and Kimi-Linear-48B-A3B-Instruct, tokenization_kimi.py, and
moonshotai/Moonlight-16B-A3B-Instruct, tokenization_moonshot.py: one class TikTokenTokenizer. Runs of more than
25,000 characters without a change from or to white space, which that class cuts, stay whole here.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.families import BY_MODEL_TYPE, FAMILIES
from hubbot.catalogue.families.row import TiktokenSpecials
from hubbot.catalogue.tokenizers.code_literals import constants, defaults, functions, parsed, unknown
from hubbot.catalogue.tokenizers.tiktokens import HINT, Reading, Special, general_config
from hubbot.errors import NeedsHuman

VOCABULARY = "tiktoken.model"
CLASS = "TikTokenTokenizer"
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]", r"\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]"
_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
# What tiktoken cuts text into before it merges bytes: `pat_str` of the class.
PATTERN = "|".join(
    (
        r"[\p{Han}]+",
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{_ENDINGS}",
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{_ENDINGS}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
# Special tokens by their place behind the vocabulary, for repos whose tokenizer_config.json does not list them:
# those that all share, and those of models that see.
_PLACES: Mapping[int, str] = {
    0: "[BOS]", 1: "[EOS]", 2: "<|im_end|>", 3: "<|im_user|>", 4: "<|im_assistant|>", 6: "<|start_header_id|>",
    7: "<|end_header_id|>", 9: "[EOT]", 10: "<|im_system|>", 17: "<|im_middle|>", 254: "[UNK]", 255: "[PAD]",
}  # fmt: skip
_TOOLS: Mapping[int, str] = {
    11: "<|tool_calls_section_begin|>", 12: "<|tool_calls_section_end|>", 13: "<|tool_call_begin|>",
    14: "<|tool_call_argument_begin|>", 15: "<|tool_call_end|>",
}  # fmt: skip
_OF_SEEING: Mapping[int, str] = {
    18: "<|media_begin|>", 19: "<|media_content|>", 20: "<|media_end|>", 21: "<|media_pad|>", 22: "<think>",
    23: "</think>",
}  # fmt: skip
_NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")
_MOST_RESERVED = 100_000
# The methods of the class, and what those may call that make ids of a text: any other may change the ids.
_METHODS = frozenset(
    {
        "__init__", "encode", "decode", "_encode_text_piece", "_split_whitespaces_or_nonwhitespaces",
        "pre_tokenizer_process", "vocab_size", "get_vocab", "_tokenize", "_convert_token_to_id",
        "_convert_id_to_token", "clean_up_tokenization", "convert_tokens_to_string", "save_vocabulary",
        "apply_chat_template", "_encode_chat_segments", "_truncate", "_format_chat_token_output",
    }
)  # fmt: skip
_ENCODING = ("encode", "_encode_text_piece", "_tokenize", "pre_tokenizer_process")
_CALLS = frozenset(
    {
        "len", "range", "type", "isinstance", "super", "warning", "encode", "extend", "_encode_text_piece",
        "pre_tokenizer_process", "_split_whitespaces_or_nonwhitespaces",
    }
)  # fmt: skip


def read(
    code: str | None, file: str, config: Mapping[str, Any], model_type: str, count: int, *, has_template: bool
) -> Reading:
    """Return what the code makes of a vocabulary of `count` tokens; NeedsHuman where it is not the known code.

    `code` is the text of `file`, or None where the repo has none and the row of `model_type` holds. `config` is
    tokenizer_config.json, `has_template` says whether the repo has a chat template.
    """
    told = {"bos_token": "[BOS]", "eos_token": "[EOS]"}
    if code is None:
        reserved = _of_type(config, model_type)
    else:
        tree = parsed(code, file)
        known = _class(tree, file)
        _check_methods(known, file, has_template=has_template)
        reserved = _reserved(known, file, model_type)
        told |= {key: v for key, v in defaults(functions(known).get("__init__")).items() if key in _NAMED and v}
    specials = _specials(config, model_type, count, reserved)
    return Reading(
        pattern=PATTERN,
        normalizer=None,
        specials=specials,
        before=(),
        after=(),
        config=_config(config, told, {special.text for special in specials}),
    )


def _of_type(config: Mapping[str, Any], model_type: str) -> int:
    """Return the number of special tokens of a repo without code; NeedsHuman for a type that no row knows."""
    is_named = config.get("tokenizer_class") == CLASS
    row = _row(model_type)
    if row is not None and (is_named or not row.only_by_class):
        return row.count
    known = ", ".join(family.model_type for family in FAMILIES if family.tiktoken)
    raise NeedsHuman(
        f"{VOCABULARY} stands without its code, and how model type {model_type or '(none)'} cuts text is unknown",
        where=VOCABULARY,
        hint=f"the code beside it, or a tokenizer.json; without code it is known for {known}",
    )


def _row(model_type: str) -> TiktokenSpecials | None:
    family = BY_MODEL_TYPE.get(model_type)
    return family.tiktoken if family else None


def _class(tree: ast.Module, file: str) -> ast.ClassDef:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == CLASS:
            found = dict(constants(node.body))
            if found.get("pat_str") != PATTERN:
                raise unknown(file, "cuts text by another pattern than the known one")
            return node
    raise unknown(file, f"defines no class {CLASS}")


def _check_methods(known: ast.ClassDef, file: str, *, has_template: bool) -> None:
    methods = {node.name: node for node in known.body if isinstance(node, ast.FunctionDef)}
    other = sorted(set(methods) - _METHODS)
    if other:
        raise unknown(file, f"defines {other[0]}, which the known code does not")
    for name in _ENCODING:
        calls = sorted(_calls(methods[name]) - _CALLS) if name in methods else []
        if calls:
            raise unknown(file, f"calls {calls[0]} in {name}, which the known code does not")
    before = methods.get("pre_tokenizer_process")
    if before is not None and ast.unparse(before.body[-1]) != "return [text]":
        raise unknown(file, "changes a text before it is cut")
    template = methods.get("apply_chat_template")
    if template is not None and "apply_chat_template" not in _calls(template) and not has_template:
        raise unknown(file, "writes conversations itself, without a chat template")


def _calls(function: ast.FunctionDef) -> set[str]:
    found = {node.func for node in ast.walk(function) if isinstance(node, ast.Call)}
    return {node.attr if isinstance(node, ast.Attribute) else ast.unparse(node) for node in found}


def _reserved(known: ast.ClassDef, file: str, model_type: str) -> int:
    """Return how many ids behind the vocabulary are special: range(base, base + num_reserved_special_tokens + n).

    Code that leaves that out is taken for the published one of its model type.
    """
    number = dict(constants(known.body)).get("num_reserved_special_tokens")
    if not isinstance(number, int) or not 0 < number <= _MOST_RESERVED:
        raise unknown(file, "does not say num_reserved_special_tokens")
    for node in ast.walk(known):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "range" and len(node.args) == 2:
            first, last = map(ast.unparse, node.args)
            match = re.fullmatch(r"(\w+) \+ self\.num_reserved_special_tokens(?: \+ (\d{1,4}))?", last)
            if match and match[1] == first:
                return number + int(match[2] or 0)
    used = any(isinstance(n, ast.Attribute) and n.attr == "num_reserved_special_tokens" for n in ast.walk(known))
    row = _row(model_type)
    if row is not None and not used:
        return row.count
    raise unknown(file, "does not say how many ids are special")


def _specials(config: Mapping[str, Any], model_type: str, count: int, reserved: int) -> tuple[Special, ...]:
    told = config.get("added_tokens_decoder")
    if not isinstance(told, Mapping) or not told:
        row = _row(model_type)
        named = {**_PLACES, **_TOOLS, **(_OF_SEEING if row is not None and row.sees else {})}
        # Those that a reader wants to see: calls of tools and thoughts.
        shown = {*_TOOLS, 22, 23}
        places = {
            count + place: Special(text=text, is_special=place not in shown) for place, text in named.items()
        }
    else:
        places = dict(_told(number, token) for number, token in told.items())
        outside = sorted(number for number in places if not count <= number < count + reserved)
        if outside:
            raise _wrong(f"gives {places[outside[0]].text!r} the id {outside[0]}, the code's are from {count} on")
    return tuple(
        places.get(number, Special(text=f"<|reserved_token_{number}|>", is_special=False))
        for number in range(count, count + reserved)
    )


def _told(number: object, token: object) -> tuple[int, Special]:
    """Return one entry of added_tokens_decoder; the code looks for its text as it is, whatever its flags say."""
    text = token.get("content") if isinstance(token, Mapping) else None
    if not isinstance(token, Mapping) or not isinstance(text, str) or not str(number).isdecimal():
        raise _wrong(f"has an entry {str(number)[:20]!r} that is no token")
    flag = next((key for key in ("lstrip", "rstrip", "single_word", "normalized") if token.get(key)), None)
    if flag is not None:
        raise _wrong(f"says {flag} of {text!r}, which the code's two ways to encode take differently")
    return int(str(number)), Special(text=text, is_special=token.get("special") is True)


def _config(config: Mapping[str, Any], told: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """Return tokenizer_config.json with the code's own defaults; NeedsHuman for a special token without an id."""
    named = {key: config.get(key, told.get(key)) for key in _NAMED}
    for key, value in [*named.items(), *(("additional_special_tokens", v) for v in _additional(config))]:
        text = value.get("content") if isinstance(value, Mapping) else value
        if text is not None and text not in known and (key in config):
            raise NeedsHuman(
                f"tokenizer_config.json names {str(text)[:60]!r} as {key}, which has no id",
                where="tokenizer_config.json",
                hint=HINT,
            )
    made = general_config(config)
    made |= {key: value for key, value in named.items() if value is not None and (key in config or value in known)}
    # The class gives a decoded text back as it is.
    return {**made, "clean_up_tokenization_spaces": False}


def _additional(config: Mapping[str, Any]) -> list[Any]:
    found = config.get("additional_special_tokens")
    return found if isinstance(found, list) else []


def _wrong(what: str) -> NeedsHuman:
    return NeedsHuman(f"added_tokens_decoder {what}", where="tokenizer_config.json", hint=HINT)
