"""What HunYuan's and Kimi's tokenizer files say, as the referee reads them."""

import json
from pathlib import Path
from typing import Any

import pytest

from hubbot.catalogue.tokenizers import hunyuan_tokenizer, kimi_tokenizer
from hubbot.checks.readers.tiktoken_sources import HUNYUAN_PATTERN, KIMI_PATTERN, is_rewritten, read_source
from hubbot.errors import CorruptConfig
from tests.catalogue.tokenizers import kimi_files
from tests.catalogue.tokenizers.kimi_files import COUNT
from tests.catalogue.tokenizers.test_hunyuan_tokenizer import AROUND, CODE, SPECIAL, TOKENS
from tests.catalogue.tokenizers.tiktoken_vocabularies import vocabulary


def hunyuan(folder: Path, code: str = CODE, **config: Any) -> Path:
    (folder / "hy.tiktoken").write_bytes(vocabulary(TOKENS))
    (folder / "tokenization_hy.py").write_text(code)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def kimi(folder: Path, stored: dict[str, bytes], model_type: str = "kimi_k2") -> Path:
    for name, data in stored.items():
        (folder / name).write_bytes(data)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


def test_referee_and_converter_know_the_same_patterns() -> None:
    assert (HUNYUAN_PATTERN, KIMI_PATTERN) == (hunyuan_tokenizer.PATTERN, kimi_tokenizer.PATTERN)


def test_what_hunyuans_code_puts_around_a_text(tmp_path: Path) -> None:
    assert read_source(hunyuan(tmp_path)).before == ()
    found = read_source(hunyuan(tmp_path, CODE + AROUND))
    assert (found.before, found.after) == ((SPECIAL["<|startoftext|>"],), ())
    found = read_source(hunyuan(tmp_path, CODE + AROUND, add_bod_token=False, add_eod_token=True))
    assert (found.before, found.after) == ((), (SPECIAL["<|endoftext|>"],))


@pytest.mark.parametrize("lost", ["BOSTOKEN", "EXTRAS"])
def test_code_that_does_not_name_its_special_tokens_is_not_guessed_at(lost: str, tmp_path: Path) -> None:
    with pytest.raises(CorruptConfig, match=lost):
        read_source(hunyuan(tmp_path, CODE.replace(lost, "X")))


def test_kimis_special_tokens_are_those_of_its_settings_and_its_code(tmp_path: Path) -> None:
    found = read_source(kimi(tmp_path, kimi_files.files()))
    assert found.special == kimi_files.special_ids()
    assert {"<think>", f"<|reserved_token_{COUNT + 30}|>"} <= found.shown
    assert not {"[BOS]", "<|im_end|>", "[PAD]"} & found.shown


def test_the_rank_stands_in_the_line_not_in_its_place(tmp_path: Path) -> None:
    stored = kimi_files.files()
    lines = stored["tiktoken.model"].splitlines(keepends=True)
    turned = stored | {"tiktoken.model": b"".join(reversed(lines))}
    ranks = {token: rank for rank, token in enumerate(kimi_files.TOKENS)}
    assert read_source(kimi(tmp_path, turned)).ranks == ranks


@pytest.mark.parametrize(("model_type", "reserved"), [("kimi_k2", 258), ("kimi_k25", 256), ("deepseek_v3", 258)])
def test_without_code_the_published_number_holds(model_type: str, reserved: int, tmp_path: Path) -> None:
    found = read_source(kimi(tmp_path, kimi_files.files(code=None), model_type))
    assert found.special == kimi_files.special_ids(reserved=reserved)


def test_without_a_list_the_published_places_hold(tmp_path: Path) -> None:
    found = read_source(kimi(tmp_path, {"tiktoken.model": kimi_files.files()["tiktoken.model"]}))
    assert (found.special["<|im_end|>"], found.special["<|tool_call_begin|>"]) == (COUNT + 2, COUNT + 13)
    assert found.special[f"<|reserved_token_{COUNT + 22}|>"] == COUNT + 22
    assert found.settings == {
        "bos_token": "[BOS]", "eos_token": "[EOS]", "clean_up_tokenization_spaces": False
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tokenization_kimi.py": kimi_files.CODE.replace("{1,3}", "").encode()}, "another pattern"),
        ({"tokenization_kimi.py": kimi_files.CODE.replace("tokens + 2)", "tokens - 2)").encode()}, "how many ids"),
        ({"tokenization_kimi.py": b"class (" + b"(" * 1000}, "cannot be read"),
        ({"tokenization_kimi.py": b"#" * (1 << 19)}, "more than"),
        ({"tokenization_kimi.py": b"x = " + b"-" * 100_000 + b"1"}, "cannot be read"),
        ({"tiktoken.model": b"YQ== 0\nYQ== 1\n"}, "twice"),
        ({"tiktoken.model": b"YQ==\n"}, "cannot be read"),
        ({"tokenizer_config.json": b"[" * 100_000}, "cannot be read"),
        (
            {"tokenizer_config.json": b'{"added_tokens_decoder": {"7": {"content": "[BOS]"}}}'},
            "an id that the code",
        ),
    ],
)
def test_files_that_say_something_else_are_not_judged(change: dict[str, bytes], told: str, tmp_path: Path) -> None:
    with pytest.raises(CorruptConfig, match=told):
        read_source(kimi(tmp_path, kimi_files.files() | change))


def test_a_vocabulary_without_code_is_read_for_known_types_only(tmp_path: Path) -> None:
    with pytest.raises(CorruptConfig, match="'qwen3_moe' is not known"):
        read_source(kimi(tmp_path, kimi_files.files(code=None), "qwen3_moe"))


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model", "tekken.json"])
def test_only_a_source_without_a_loadable_tokenizer_is_rewritten(name: str, tmp_path: Path) -> None:
    for folder in (hunyuan, lambda place: kimi(place, kimi_files.files())):
        source = folder(tmp_path)
        (source / name).unlink(missing_ok=True)
        assert is_rewritten(source)
        (source / name).write_text("{}")
        assert not is_rewritten(source)
