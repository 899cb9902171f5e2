"""Kimi's tokenizer files in small: code of the published shape, a learnt vocabulary, and texts of many scripts."""

# ruff: noqa: RUF001 - look-alikes are what these texts are for

import json
from typing import Any

import numpy as np

from hubbot.catalogue.tokenizers import kimi_tokenizer
from tests.catalogue.tokenizers.tiktoken_vocabularies import learnt, vocabulary

SENTENCES = (
    "The quick brown fox doesn't jump over 12345 lazy dogs; it's 56% there, they'Re SURE we'll see I'M.\n\n",
    "  Two spaces,\ttabs\r\nand a run of" + " " * 40 + "them; snake_case, CamelCase, x += 0x1F; // done\n",
    "def f(x: int) -> str:\n    return {'a': [1, 2.5e-3], \"b\": None}  # déjà vu, naïve coöperation\n",
    "中文字符與漢字混合English単語とカタカナ、ひらがな。你好，世界！两千零二十六年，价格￥1234。\n",
    "한국어 문장입니다. Русский текст, Українська ґедзь. Ελληνικά κείμενα. עברית עם ניקוד שָׁלוֹם.\n",
    "ملف عربي مع أرقام ١٢٣ و٤٥٦. हिन्दी वाक्य है। বাংলা বাক্য। ไทยไม่มีช่องว่าง ພາສາລາວ ភាសាខ្មែរ မြန်မာ\n",
    "emoji 😀😀👩‍👩‍👧‍👦🏳️‍🌈 👍🏽 and ½ ² Ⅳ ㊗ ∑∫≠ — “quotes” … «guillemets» ﬁ ſ ẞ ǅ İı K Å\n",
    "banana bandana aaaaaaaaaaaa hmmmmm wwwwwww.example.org/path?query=1&other=2#part\n",
)
TEXT = "".join(SENTENCES)
TOKENS = learnt(700, TEXT * 2, kimi_tokenizer.PATTERN)
COUNT = len(TOKENS)
# Offsets behind the vocabulary, as in the published tokenizer_config.json.
PLACES = {
    0: ("[BOS]", True), 1: ("[EOS]", True), 2: ("<|im_end|>", True), 3: ("<|im_user|>", True),
    4: ("<|im_assistant|>", True), 9: ("[EOT]", True), 10: ("<|im_system|>", True),
    11: ("<|tool_calls_section_begin|>", False), 12: ("<|tool_calls_section_end|>", False),
    17: ("<|im_middle|>", True), 22: ("<think>", False), 23: ("</think>", False), 254: ("[UNK]", True),
    255: ("[PAD]", True),
}  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}<|im_{{ m['role'] }}|>{{ m['role'] }}<|im_middle|>{{ m['content'] }}<|im_end|>"
    "{% endfor %}<|im_assistant|>assistant<|im_middle|>"
)


def added(text: str, *, special: bool) -> dict[str, Any]:
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    return {"content": text, **flags, "special": special}


CONFIG: dict[str, Any] = {
    "added_tokens_decoder": {
        str(COUNT + place): added(text, special=special) for place, (text, special) in PLACES.items()
    },
    "additional_special_tokens": ["<|im_end|>", "<|im_user|>", "<|im_assistant|>", "[EOT]", "<|im_middle|>"],
    "bos_token": "[BOS]",
    "clean_up_tokenization_spaces": False,
    "eos_token": "[EOS]",
    "extra_special_tokens": {},
    "model_max_length": 1000,
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "tokenizer_class": "TikTokenTokenizer",
    "auto_map": {"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]},
    "chat_template": TEMPLATE,
}
# Written for these tests in the shape that the published files have.
CODE = r'''
import tiktoken
from tiktoken.load import load_tiktoken_bpe
from transformers.tokenization_utils import PreTrainedTokenizer

raise SystemExit("this must never be run")


class TikTokenTokenizer(PreTrainedTokenizer):
    """Tokens by tiktoken."""

    vocab_files_names = {"vocab_file": "tiktoken.model"}
    special_tokens: dict[str, int]
    num_reserved_special_tokens = 256
    pat_str = "|".join(
        [
            r"""[\p{Han}]+""",
            r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
            r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
            r"""\p{N}{1,3}""",
            r""" ?[^\s\p{L}\p{N}]+[\r\n]*""",
            r"""\s*[\r\n]+""",
            r"""\s+(?!\S)""",
            r"""\s+""",
        ]
    )

    def __init__(self, vocab_file, bos_token="[BOS]", eos_token="[EOS]", unk_token=None, pad_token=None,
                 additional_special_tokens=None, added_tokens_decoder=None, **kwargs):
        special_tokens_mapping = {i: added_tokens_decoder[i].content for i in added_tokens_decoder}
        mergeable_ranks = load_tiktoken_bpe(vocab_file)
        num_base_tokens = len(mergeable_ranks)
        self.special_tokens = {
            special_tokens_mapping.get(i, f"<|reserved_token_{i}|>"): i
            for i in range(num_base_tokens, num_base_tokens + self.num_reserved_special_tokens + 2)
        }
        self.model = tiktoken.Encoding(name="kimi", pat_str=self.pat_str, mergeable_ranks=mergeable_ranks,
                                       special_tokens=self.special_tokens)

    def encode(self, text, allow_special_tokens=True, **kwargs):
        texts = self.pre_tokenizer_process(text)
        all_substrs = []
        for text in texts:
            all_substrs.extend(self._split_whitespaces_or_nonwhitespaces(text, 25_000))
        t = []
        for substr in all_substrs:
            t.extend(self.model.encode(substr, allowed_special="all"))
        return t

    def pre_tokenizer_process(self, text):
        """Nothing is changed."""
        return [text]

    def apply_chat_template(self, conversation, tools=None, **kwargs):
        tools = deep_sort_dict(tools)
        return super().apply_chat_template(conversation, tools=tools, **kwargs)


def deep_sort_dict(obj):
    return obj
'''


def special_ids(config: dict[str, Any] | None = None, *, reserved: int = 258) -> dict[str, int]:
    """The special tokens that the code makes of a tokenizer_config.json, text -> id."""
    told = (CONFIG if config is None else config).get("added_tokens_decoder", {})
    mapping = {int(number): token["content"] for number, token in told.items()}
    return {mapping.get(i, f"<|reserved_token_{i}|>"): i for i in range(COUNT, COUNT + reserved)}


def files(config: dict[str, Any] | None = None, code: str | None = CODE) -> dict[str, bytes]:
    """The files of a repo, by name."""
    made = {
        "tiktoken.model": vocabulary(TOKENS),
        "tokenizer_config.json": json.dumps(CONFIG if config is None else config).encode(),
    }
    return made | ({} if code is None else {"tokenization_kimi.py": code.encode()})


def texts(seed: int, count: int) -> list[str]:
    """Random and real strings: pieces of sentences, mixed scripts, any code points, special tokens, long runs."""
    draw = np.random.default_rng(seed)
    letters = [*TEXT, *"éßЖ日\u0301\u00a0\u3000'\u2019\r\n\t\x00\x1b\x7f\x85\u200b\ufeff\ufffd0\uff19½ſK"]
    special = [*special_ids(), "<|reserved_token_9|>", "<|im_", "[BOS", "|>"]
    return [_text(draw, letters, special) for _ in range(count)]


def _text(draw: np.random.Generator, letters: list[str], special: list[str]) -> str:
    parts = []
    for _ in range(int(draw.integers(1, 6))):
        kind = int(draw.integers(6))
        if kind == 0:
            start = int(draw.integers(len(TEXT)))
            parts.append(TEXT[start : start + int(draw.integers(1, 120))])
        elif kind == 1:
            parts.append("".join(draw.choice(letters, size=int(draw.integers(1, 40)))))
        elif kind == 2:
            parts.append("".join(map(chr, _code_points(draw, int(draw.integers(1, 12))))))
        elif kind == 3:
            parts.append(str(draw.choice(special)))
        elif kind == 4:
            parts.append(str(draw.choice([" ", "\n", "\r\n", "\t", "\u3000", " \n"])) * int(draw.integers(1, 300)))
        else:
            parts.append(str(draw.choice(letters)) * int(draw.integers(1, 60)))
    return "".join(parts)


def _code_points(draw: np.random.Generator, count: int) -> list[int]:
    ranges = ((0, 0x250), (0x250, 0x3000), (0x3000, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000))
    chosen = draw.integers(len(ranges), size=count)
    return [int(draw.integers(*ranges[index])) for index in chosen]
