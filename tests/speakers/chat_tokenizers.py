"""The tokenizers of the demo's models: byte-level BPE with ChatML, and word-marker BPE with [INST].

Knows how a tokenizer is trained on the stories, how a conversation is written out, and the files that say so.
Never touches weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tests.speakers.stories import hold_conversation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.speakers.stories import Turn

VOCABULARY_SIZE = 768
CONTEXT = 256
# The word rule of Qwen without its contractions: letters with one leading space, single digits, the rest.
WORDS = Regex(r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFormat:
    """How a family writes documents and conversations; `end` is the token that stops a generation."""

    specials: tuple[str, ...]
    start: str
    end: str
    after_story: str
    asked: str
    answered: str
    template: str
    byte_level: bool

    def story_parts(self, text: str) -> list[tuple[str, bool]]:
        """A bare story as (text, is it to be learned) parts."""
        return [(self.start, False), (text if self.byte_level else f" {text}", True), (self.after_story, True)]

    def talk_parts(self, turns: tuple[Turn, ...]) -> list[tuple[str, bool]]:
        """A conversation as (text, is it to be learned) parts: only what the assistant says is learned."""
        parts = [(self.start, False)] if self.start else []
        before, after = self.answered.split("{}")
        for turn in turns:
            if turn.role == "user":
                parts.append((self.asked.format(turn.content), False))
            else:
                parts.append((f"{before}{turn.content}{self.end}", True))
                parts.append((after, False))
        return [part for part in parts if part[0]]


CHATML = ChatFormat(
    specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    start="",
    end="<|im_end|>",
    after_story="<|endoftext|>",
    asked="<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    answered="{}\n",
    template="{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    byte_level=True,
)
INST = ChatFormat(
    specials=("<unk>", "<s>", "</s>", "[INST]", "[/INST]"),
    start="<s>",
    end="</s>",
    after_story="</s>",
    asked="[INST] {}[/INST]",
    answered=" {}",
    template="{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %} {{ m['content'] }}"
    "{{ eos_token }}{% else %}[INST] {{ m['content'] }}[/INST]{% endif %}{% endfor %}",
    byte_level=False,
)


def train_tokenizer(chat: ChatFormat, seed: int) -> Tokenizer:
    """Train the chat format's tokenizer on conversations; the same seed gives the same one."""
    corpus = list(_corpus(Random(seed)))
    return _byte_level(chat, corpus) if chat.byte_level else _word_marker(chat, corpus)


def write_tokenizer(folder: Path, chat: ChatFormat, tokenizer: Tokenizer) -> None:
    """Write tokenizer.json, tokenizer_config.json and generation_config.json."""
    ends = [chat.end] if chat.after_story == chat.end else [chat.end, chat.after_story]
    ids = [tokenizer.token_to_id(end) for end in ends]
    start = chat.start or None
    settings: dict[str, Any] = {
        "add_bos_token": start is not None,
        "added_tokens_decoder": {str(tokenizer.token_to_id(token)): _added(token) for token in chat.specials},
        "bos_token": start,
        "chat_template": chat.template,
        "clean_up_tokenization_spaces": False,
        "eos_token": chat.end,
        "model_max_length": CONTEXT,
        "pad_token": chat.after_story,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": None if chat.byte_level else chat.specials[0],
    }
    generation: dict[str, Any] = {"do_sample": True, "eos_token_id": ids if len(ids) > 1 else ids[0]}
    generation |= {"pad_token_id": ids[-1], "temperature": 0.7, "top_p": 0.9}
    if start:
        generation |= {"bos_token_id": tokenizer.token_to_id(start)}
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=False) + "\n", encoding="utf-8")
    for name, content in (("tokenizer_config.json", settings), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _corpus(random: Random) -> Iterator[str]:
    for _ in range(6000):
        for turn in hold_conversation(random):
            if turn.role == "assistant":
                yield turn.content


def _byte_level(chat: ChatFormat, corpus: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(WORDS, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(chat.specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def _word_marker(chat: ChatFormat, corpus: list[str]) -> Tokenizer:
    """BPE over words marked with U+2581; what it has no letter for is spelled in byte tokens <0x00> to <0xFF>."""
    split = pre_tokenizers.Metaspace(prepend_scheme="first")
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.Punctuation()])
    size = VOCABULARY_SIZE - 256 - len(chat.specials)
    learner.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, show_progress=False))
    learned = json.loads(learner.to_str())["model"]
    tokens = [*chat.specials, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    merges = [(left, right) for left, right in learned["merges"]]
    vocab = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab, merges, byte_fallback=True, unk_token=chat.specials[0], fuse_unk=True))
    tokenizer.pre_tokenizer = learner.pre_tokenizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(list(chat.specials))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{chat.start} $A", special_tokens=[(chat.start, vocab[chat.start])]
    )
    return tokenizer


def _added(token: str) -> dict[str, Any]:
    return {
        "content": token,
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
        "special": True,
    }
