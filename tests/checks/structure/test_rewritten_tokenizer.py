"""A tokenizer.json made of a tiktoken vocabulary and code: the right one passes, any other is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubbot.artifacts import Finding
from hubbot.checks.readers.tiktoken_sources import HUNYUAN_PATTERN, KIMI_PATTERN
from hubbot.checks.structure.rewritten_tokenizer import check_rewritten_tokenizer
from hubbot.finishing import rewritten_tokenizer
from tests.catalogue.tokenizers import kimi_files
from tests.catalogue.tokenizers.test_hunyuan_tokenizer import AROUND, CODE, TOKENS
from tests.catalogue.tokenizers.tiktoken_vocabularies import vocabulary

Change = Callable[[dict[str, Any]], object]


def pair(root: Path, code: str = CODE, **config: Any) -> tuple[Path, Path]:
    """A source with HunYuan's tokenizer, and what the converter makes of it."""
    source, made = root / "source", root / "made"
    for folder in (source, made):
        folder.mkdir()
        (folder / "hy.tiktoken").write_bytes(vocabulary(TOKENS))
    (source / "tokenization_hy.py").write_text(code)
    (source / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "HYTokenizer", "auto_map": {"AutoTokenizer": ["x", None]}, **config})
    )
    for name, data in rewritten_tokenizer(source).items():
        (made / name).write_bytes(data)
    return source, made


def kimi_pair(
    root: Path, config: dict[str, Any] | None = None, code: str | None = kimi_files.CODE
) -> tuple[Path, Path]:
    """A source with Kimi's tokenizer, and what the converter makes of it."""
    source, made = root / "source", root / "made"
    for folder in (source, made):
        folder.mkdir()
    for name, data in kimi_files.files(config, code).items():
        (source / name).write_bytes(data)
    (source / "config.json").write_text('{"model_type": "kimi_k2"}')
    for name, data in rewritten_tokenizer(source).items():
        (made / name).write_bytes(data)
    return source, made


def only(source: Path, made: Path) -> Finding:
    (finding,) = check_rewritten_tokenizer(source, made)
    return finding


def altered(made: Path, change: Change, name: str = "tokenizer.json") -> None:
    held = json.loads((made / name).read_text())
    change(held)
    (made / name).write_text(json.dumps(held))


def test_the_converters_rewriting_passes_and_says_how_many_ids(tmp_path: Path) -> None:
    finding = only(*pair(tmp_path))
    assert finding.status == "pass"
    assert finding.measured == finding.allowed > 300


@pytest.mark.parametrize("config", [{}, {"add_bod_token": False, "add_eod_token": True}])
def test_tokens_around_every_text_are_compared_too(config: dict[str, bool], tmp_path: Path) -> None:
    source, made = pair(tmp_path, CODE + AROUND, **config)
    assert only(source, made).status == "pass"
    altered(made, lambda held: held.update(post_processor=None))
    assert only(source, made).status == "fail"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda held: held["model"]["merges"].pop(), "merges"),
        (lambda held: held["model"]["merges"].append(held["model"]["merges"][0]), "merges"),
        (lambda held: held.update(normalizer={"type": "NFKC"}), "other ids"),
        (lambda held: held.update(normalizer=None), "other ids"),
        (lambda held: held["pre_tokenizer"]["pretokenizers"].pop(0), "pre_tokenizer"),
        (lambda held: held["added_tokens"][0].update(content="<|end|>"), "other ids"),
        (lambda held: held["model"]["vocab"].update(zzzz=9999), "other ids"),
        (lambda held: held["model"].update(merges=held["model"]["merges"][::-1]), "merges"),
    ],
    ids=[
        "merge lost", "merge twice", "NFKC", "no NFC", "no pattern", "special token", "token added",
        "merges reversed",
    ],
)  # fmt: skip
def test_another_tokenizer_is_refused(change: Change, told: str, tmp_path: Path) -> None:
    source, made = pair(tmp_path)
    altered(made, change)
    finding = only(source, made)
    assert finding.status == "fail"
    assert told in finding.reason + finding.subject


def test_a_swap_of_two_tokens_is_refused(tmp_path: Path) -> None:
    source, made = pair(tmp_path)

    def swap(held: dict[str, Any]) -> None:
        names = list(held["model"]["vocab"])[300:302]
        one, other = (held["model"]["vocab"][name] for name in names)
        held["model"]["vocab"] |= {names[0]: other, names[1]: one}

    altered(made, swap)
    assert only(source, made).status == "fail"


def _swap_merges(held: dict[str, Any]) -> None:
    merges = held["model"]["merges"]
    merges[10], merges[40] = merges[40], merges[10]


def _swap_ids(held: dict[str, Any]) -> None:
    one, other = held["added_tokens"][2], held["added_tokens"][3]
    one["id"], other["id"] = other["id"], one["id"]


def _rename_token(held: dict[str, Any]) -> None:
    model = held["model"]
    name = list(model["vocab"])[-1]  # the last learnt one is part of no other
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) != name]
    model["vocab"][f"{name}qzq"] = model["vocab"].pop(name)


def _set_pattern(pattern: str) -> Change:
    return lambda held: held["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": pattern})


UNLISTED = {key: value for key, value in kimi_files.CONFIG.items() if key != "added_tokens_decoder"}
UNNAMED = {key: value for key, value in kimi_files.CONFIG.items() if not key.endswith("s_token")}


@pytest.mark.parametrize("config", [None, UNLISTED, UNNAMED], ids=["listed", "by place", "named by code"])
@pytest.mark.parametrize("code", [kimi_files.CODE, None], ids=["code", "no code"])
def test_kimis_tokenizer_passes_as_the_converter_writes_it(
    config: dict[str, Any] | None, code: str | None, tmp_path: Path
) -> None:
    finding = only(*kimi_pair(tmp_path, config, code))
    assert (finding.status, finding.measured) == ("pass", finding.allowed)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_swap_merges, "merges"),
        (lambda held: held["model"]["merges"].pop(), "merges"),
        (_set_pattern(KIMI_PATTERN.replace("{1,3}", "{1,2}")), "other ids|pre_tokenizer"),
        (_set_pattern(KIMI_PATTERN.replace(r"|\s+(?!\S)", "")), "other ids|pre_tokenizer"),
        (_set_pattern(HUNYUAN_PATTERN), "other ids|pre_tokenizer"),
        (_swap_ids, "other ids|added_tokens"),
        (lambda held: held["added_tokens"][-1].update(content="[PADDING]"), "other ids"),
        (lambda held: held["added_tokens"][22].update(special=True), "added_tokens"),
        (lambda held: held["added_tokens"][22].update(normalized=True), "other ids|added_tokens"),
        (lambda held: held["added_tokens"].pop(), "other ids|added_tokens"),
        (_rename_token, "other ids|vocab"),
        (lambda held: held.update(normalizer={"type": "NFC"}), "other ids"),
        (lambda held: held.update(decoder={"type": "Fuse"}), "decoder"),
        (lambda held: held["model"].update(ignore_merges=False), "model"),
        (lambda held: held["model"].update(dropout=0.5), "other ids|model"),
        (lambda held: held.update(truncation={
            "direction": "Right", "max_length": 9000, "strategy": "LongestFirst", "stride": 0
        }), "truncation"),
    ],
    ids=[
        "merges swapped", "merge lost", "digits in pairs", "spaces", "HunYuan's pattern", "ids swapped",
        "special token", "think left out", "think normalized", "token lost", "wrong token", "NFC", "decoder",
        "merges not ignored", "dropout", "truncation",
    ],
)  # fmt: skip
def test_another_tokenizer_than_kimis_is_refused(change: Change, told: str, tmp_path: Path) -> None:
    source, made = kimi_pair(tmp_path)
    altered(made, change)
    finding = only(source, made)
    assert finding.status == "fail"
    assert re.search(told, finding.reason + finding.subject)


@pytest.mark.parametrize(
    "change",
    [
        {"eos_token": "[PAD]"}, {"chat_template": "{{ 1 }}"}, {"clean_up_tokenization_spaces": True},
        {"add_bos_token": True}, {"added_tokens_decoder": {}},
    ],
)  # fmt: skip
def test_other_settings_than_kimis_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    source, made = kimi_pair(tmp_path)
    altered(made, lambda held: held.update(change), "tokenizer_config.json")
    assert only(source, made).status == "fail"


def test_other_settings_than_the_sources_are_refused(tmp_path: Path) -> None:
    source, made = pair(tmp_path, eos_token="<|eos|>")
    assert only(source, made).status == "pass"
    altered(made, lambda held: held.update(eos_token="<|bos|>"), "tokenizer_config.json")
    assert only(source, made).subject == "tokenizer_config.json"


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_lost_file_is_refused(name: str, tmp_path: Path) -> None:
    source, made = pair(tmp_path)
    (made / name).unlink()
    assert only(source, made).status == "fail"


def test_code_that_cuts_text_otherwise_cannot_be_compared(tmp_path: Path) -> None:
    source, made = pair(tmp_path)
    (source / "tokenization_hy.py").write_text(CODE.replace(r"\p{N}|", r"\p{N}{1,3}|"))
    assert "another pattern" in only(source, made).measured
