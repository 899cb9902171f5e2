"""A tokenizer.json made of a tiktoken vocabulary and code: the right one passes, any other is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubbot.artifacts import Finding
from hubbot.checks.structure.rewritten_tokenizer import check_rewritten_tokenizer, is_rewritten
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


def test_only_a_source_without_a_tokenizer_json_is_judged_so(tmp_path: Path) -> None:
    source, _ = pair(tmp_path)
    assert is_rewritten(source)
    (source / "tokenizer.json").write_text("{}")
    assert not is_rewritten(source)


def kimi(
    root: Path, config: dict[str, Any] | None = None, code: str | None = kimi_files.CODE
) -> tuple[Path, Path]:
    """A source with Kimi's tokenizer, and what the converter makes of it."""
    source, made = root / "source", root / "made"
    for folder in (source, made):
        folder.mkdir()
    for name, data in kimi_files.files(config, code).items():
        (source / name).write_bytes(data)
    (source / "config.json").write_text(json.dumps({"model_type": "kimi_k2"}))
    for name, data in rewritten_tokenizer(source).items():
        (made / name).write_bytes(data)
    return source, made


UNLISTED = {key: value for key, value in kimi_files.CONFIG.items() if key != "added_tokens_decoder"}


@pytest.mark.parametrize("config", [None, UNLISTED], ids=["listed", "by place"])
@pytest.mark.parametrize("code", [kimi_files.CODE, None], ids=["code", "no code"])
def test_kimis_rewritten_tokenizer_passes(config: dict[str, Any] | None, code: str | None, tmp_path: Path) -> None:
    source, made = kimi(tmp_path, config, code)
    assert is_rewritten(source)
    finding = only(source, made)
    assert (finding.status, finding.reason) == ("pass", finding.reason)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda held: held["model"]["merges"].pop(), "merges"),
        (lambda held: held.update(normalizer={"type": "NFC"}), "other ids"),
        (lambda held: held["pre_tokenizer"]["pretokenizers"].pop(0), "other ids"),
        (lambda held: held["added_tokens"].pop(), "added_tokens"),
        (lambda held: held["added_tokens"][30].update(content="<|other|>"), "added_tokens"),
        (lambda held: held["added_tokens"][2].update(content="<|other|>"), "other ids"),
    ],
    ids=["merge lost", "NFC", "no pattern", "token lost", "token renamed", "special token renamed"],
)
def test_another_tokenizer_for_kimi_is_refused(change: Change, told: str, tmp_path: Path) -> None:
    source, made = kimi(tmp_path)
    altered(made, change)
    finding = only(source, made)
    assert finding.status == "fail"
    assert told in finding.reason + finding.subject


def test_kimis_decoded_text_stays_as_it_is(tmp_path: Path) -> None:
    source, made = kimi(tmp_path)
    altered(made, lambda held: held.update(clean_up_tokenization_spaces=True), "tokenizer_config.json")
    assert only(source, made).subject == "tokenizer_config.json"
