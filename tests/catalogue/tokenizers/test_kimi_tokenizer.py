import base64
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from hubbot.catalogue import tokenizers
from hubbot.catalogue.tokenizers import kimi_tokenizer
from hubbot.errors import NeedsHuman
from tests.catalogue.tokenizers.kimi_files import (
    CODE,
    CONFIG,
    COUNT,
    PLACES,
    SENTENCES,
    TEMPLATE,
    TEXT,
    TOKENS,
    added,
    files,
    special_ids,
    texts,
)

K2 = {"model_type": "kimi_k2"}


def rewritten(stored: dict[str, bytes], config: dict[str, Any] | None = None) -> dict[str, bytes]:
    return tokenizers.rewritten(stored, K2 if config is None else config, stored.__getitem__)


def loaded(folder: Path, stored: dict[str, bytes], config: dict[str, Any] | None = None) -> Any:
    """The rewritten tokenizer as anybody loads it, without anybody's code."""
    for name, data in rewritten(stored, config).items():
        (folder / name).write_bytes(data)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def independent(special: dict[str, int]) -> Any:
    """PyPI's tiktoken over the same vocabulary."""
    tiktoken = pytest.importorskip("tiktoken", reason="the independent encoder is in the extra `test`")
    ranks = {token: rank for rank, token in enumerate(TOKENS)}
    return tiktoken.Encoding(
        name="kimi", pat_str=kimi_tokenizer.PATTERN, mergeable_ranks=ranks, special_tokens=special
    )


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return loaded(tmp_path_factory.mktemp("kimi"), files())


def agrees(tokenizer: Any, strings: list[str]) -> None:
    encoder = independent(special_ids())
    for start in range(0, len(strings), 1000):
        some = strings[start : start + 1000]
        found = tokenizer(some, add_special_tokens=True)["input_ids"]
        for text, ids in zip(some, found, strict=True):
            assert ids == encoder.encode(text, allowed_special="all"), repr(text)


def test_two_thousand_random_and_real_strings_have_tiktokens_ids(tokenizer: Any) -> None:
    agrees(tokenizer, [*SENTENCES, TEXT, "", *texts(1, 2000)])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_random_and_real_strings_have_tiktokens_ids(tokenizer: Any) -> None:
    agrees(tokenizer, [*SENTENCES, TEXT, *texts(2, 100_000)])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_character_of_unicode_is_cut_as_tiktoken_cuts_it(tokenizer: Any) -> None:
    characters = [
        chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000 and not 0x40000 <= code < 0xE0000
    ]
    agrees(tokenizer, [frame.format(one) for frame in ("A{}b", "{0}{0}  {0}", "中{0}1'{0}") for one in characters])


def test_a_text_survives_and_white_space_stays(tokenizer: Any) -> None:
    ids = tokenizer.encode(TEXT)
    assert len(ids) < len(TEXT.encode()) / 2
    assert tokenizer.decode(ids) == TEXT
    assert tokenizer.decode(tokenizer.encode("a , b ' s . \n")) == "a , b ' s . \n"


def test_special_tokens_and_the_template_are_kept(tokenizer: Any) -> None:
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("[BOS]", "[EOS]", "[PAD]")
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (COUNT, COUNT + 1)
    assert len(tokenizer) == COUNT + 258
    for place, (text, _) in PLACES.items():
        assert tokenizer.encode(text) == [COUNT + place]
    assert tokenizer.chat_template == TEMPLATE
    said = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert said == "<|im_user|>user<|im_middle|>hi<|im_end|><|im_assistant|>assistant<|im_middle|>"


def test_only_special_tokens_are_left_out_of_a_decoded_text(tokenizer: Any) -> None:
    ids = tokenizer.encode(f"[EOS]<think>a</think><|im_end|><|reserved_token_{COUNT + 30}|>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == f"<think>a</think><|reserved_token_{COUNT + 30}|>"


def test_no_code_is_named_in_what_is_written() -> None:
    made = rewritten(files())
    assert set(made) == {"tokenizer.json", "tokenizer_config.json"}
    config = json.loads(made["tokenizer_config.json"])
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert "auto_map" not in config
    assert config["chat_template"] == TEMPLATE


@pytest.mark.parametrize(("model_type", "reserved"), [("kimi_k2", 258), ("kimi_linear", 258), ("kimi_k25", 256)])
def test_without_code_the_row_of_the_model_type_holds(model_type: str, reserved: int) -> None:
    made = rewritten(files(code=None), {"model_type": model_type})
    found = {token["content"]: token["id"] for token in json.loads(made["tokenizer.json"])["added_tokens"]}
    assert found == special_ids(reserved=reserved)


def test_moonlight_is_told_from_deepseek_by_the_class_that_its_config_names() -> None:
    assert rewritten(files(code=None), {"model_type": "deepseek_v3"})
    unnamed = {key: value for key, value in CONFIG.items() if key not in {"tokenizer_class", "auto_map"}}
    with pytest.raises(NeedsHuman, match=r"tiktoken\.model stands without its code.*deepseek_v3"):
        rewritten(files(unnamed, code=None), {"model_type": "deepseek_v3"})
    stored = files(
        CONFIG | {"auto_map": {"AutoTokenizer": ["tokenization_moonshot.TikTokenTokenizer", None]}}, None
    )
    made = rewritten(stored | {"tokenization_moonshot.py": CODE.encode()}, {"model_type": "deepseek_v3"})
    assert made == rewritten(files())


def test_without_a_list_of_tokens_the_published_places_hold(tmp_path: Path) -> None:
    stored = {"tiktoken.model": files()["tiktoken.model"]}
    found = loaded(tmp_path, stored)
    assert (found.bos_token, found.eos_token) == ("[BOS]", "[EOS]")
    assert found.encode("<|im_end|>x<|im_middle|>")[0::2] == [COUNT + 2, COUNT + 17]
    assert found.encode("<|tool_call_begin|>") == [COUNT + 13]
    assert len(found.encode("<|media_pad|>")) > 1
    seen = json.loads(rewritten(stored, {"model_type": "kimi_k25"})["tokenizer.json"])["added_tokens"]
    assert (seen[21]["content"], seen[22]["special"]) == ("<|media_pad|>", False)


def test_the_code_says_how_many_tokens_are_reserved() -> None:
    fewer = CODE.replace("self.num_reserved_special_tokens + 2", "self.num_reserved_special_tokens")
    found = json.loads(rewritten(files(code=fewer))["tokenizer.json"])["added_tokens"]
    assert [token["id"] for token in found] == list(range(COUNT, COUNT + 256))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (r"\p{N}{1,3}", r"\p{N}", "another pattern"),
        ('"|".join(', '"".join(', "another pattern"),
        ("class TikTokenTokenizer(", "class OtherTokenizer(", "no class TikTokenTokenizer"),
        ("class TikTokenTokenizer(PreTrainedTokenizer):", "class TikTokenTokenizer(", "no Python"),
        ("return [text]", "return [text.lower()]", "calls lower in pre_tokenizer_process"),
        ("return [text]", "return [text[1:]]", "changes a text before it is cut"),
        ("t = []\n", "t = []\n        text = unicodedata.normalize('NFKC', text)\n", "calls normalize in encode"),
        ("    def encode(", "    def tokenize(self, text):\n        pass\n\n    def encode(", "defines tokenize"),
        ("special_tokens = 256", "special_tokens = count()", "num_reserved_special_tokens"),
        ("special_tokens + 2)", "special_tokens - 2)", "how many ids are special"),
    ],
)
def test_other_code_than_is_known_parks_by_name(old: str, new: str, told: str) -> None:
    assert old in CODE
    with pytest.raises(NeedsHuman, match=told):
        rewritten(files(code=CODE.replace(old, new, 1)))


def test_conversations_that_code_writes_need_a_template() -> None:
    own = CODE.replace(
        "return super().apply_chat_template(conversation, tools=tools, **kwargs)", "return segments(1)"
    )
    silent = {key: value for key, value in CONFIG.items() if key != "chat_template"}
    assert rewritten(files(CONFIG, own))
    assert rewritten(files(silent, own) | {"chat_template.jinja": b"x"})
    with pytest.raises(NeedsHuman, match="without a chat template"):
        rewritten(files(silent, own))


def changed(**values: Any) -> dict[str, Any]:
    return CONFIG | values


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (changed(eos_token="<|nobody|>"), r"'<\|nobody\|>' as eos_token, which has no id"),
        (changed(additional_special_tokens=["<|x|>"]), r"as additional_special_tokens, which has no id"),
        (changed(added_tokens_decoder={"7": added("[BOS]", special=True)}), r"'\[BOS\]' the id 7"),
        (changed(added_tokens_decoder={str(COUNT + 258): added("[BOS]", special=True)}), rf"the id {COUNT + 258}"),
        (changed(added_tokens_decoder={"x": added("[BOS]", special=True)}), "entry 'x' that is no token"),
        (changed(added_tokens_decoder={str(COUNT): added("[BOS]", special=True) | {"lstrip": True}}), "lstrip"),
        (
            changed(
                added_tokens_decoder={str(COUNT + i): added("[BOS]", special=True) for i in range(2)},
                additional_special_tokens=[],
                eos_token="[BOS]",
                pad_token=None,
                unk_token=None,
            ),
            "two ids",
        ),
        (changed(auto_map={"AutoTokenizer": ["mine.Tokenizer", None]}), r"code is mine\.py"),
    ],
)
def test_a_config_that_contradicts_the_vocabulary_parks_by_name(config: dict[str, Any], told: str) -> None:
    with pytest.raises(NeedsHuman, match=told):
        rewritten(files(config))


def test_a_token_that_begins_another_is_refused() -> None:
    decoder = {str(COUNT + i): added(t, special=True) for i, t in enumerate(["[BOS]", "[EOS]", "<|a", "<|a|>"])}
    config = changed(added_tokens_decoder=decoder, additional_special_tokens=[], pad_token=None, unk_token=None)
    with pytest.raises(NeedsHuman, match=r"'<\|a' begins '<\|a\|>'"):
        rewritten(files(config))


def test_a_vocabulary_with_a_gap_in_its_ranks_is_refused() -> None:
    data = b"".join(base64.b64encode(bytes([i])) + f" {i + (i > 9)}\n".encode() for i in range(256))
    with pytest.raises(NeedsHuman, match="0 to 255, each once"):
        rewritten(files() | {"tiktoken.model": data})
    whole = files()["tiktoken.model"].splitlines(keepends=True)
    assert rewritten(files() | {"tiktoken.model": b"".join(reversed(whole))}) == rewritten(files())


def test_two_codes_are_refused_unless_one_is_named() -> None:
    stored = files() | {"tokenization_other.py": b"x = 1"}
    assert rewritten(stored)
    unnamed = {key: value for key, value in CONFIG.items() if key != "auto_map"}
    with pytest.raises(NeedsHuman, match=r"tokenization_kimi\.py or tokenization_other\.py"):
        rewritten(stored | {"tokenizer_config.json": json.dumps(unnamed).encode()})


def test_a_repo_with_a_tokenizer_json_is_left_alone() -> None:
    stored = files() | {"tokenizer.json": b"{}"}
    assert rewritten(stored) == {}
    assert tokenizers.files_read(stored) == ()
    assert tokenizers.files_read(files()) == ("tiktoken.model", "tokenization_kimi.py")
