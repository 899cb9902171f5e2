"""What those who have downloaded a repo are told to download again."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hubbot.cards.changes import changed, has_template, tokenizer_parts, updated
from hubbot.cards.made_variants import Made, Update, read_update

NOWHERE = Path("nowhere")
FILES = {"model.safetensors": "1", "tokenizer.json": "2", "chat_template.jinja": "3", "config.json": "4"}


def mark(files: dict[str, str], revision: str = "a") -> dict[str, object]:
    listed = [{"path": path, "size": 1, "sha256": sha} for path, sha in files.items()]
    return {"files": listed, "source": {"repo": "x/y", "revision": revision}, "variant": "4bit"}


def made(files: dict[str, str], revision: str = "a", update: Update | None = None) -> Made:
    return Made(repo_id="me/y", mark=mark(files, revision), report=None, smoke=None, update=update)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (FILES, ()),
        ({**FILES, "model.safetensors": "9"}, ("weights",)),
        ({**FILES, "tokenizer.json": "9", "chat_template.jinja": "9"}, ("tokenizer", "chat template")),
        ({**FILES, "config.json": "9"}, ()),
        ({"model-00001-of-00002.safetensors": "1", **FILES}, ("weights",)),
        ({key: FILES[key] for key in FILES if "template" not in key}, ("chat template",)),
    ],
)
def test_only_weights_tokenizer_and_template_are_worth_a_download(
    after: dict[str, str], told: tuple[str, ...]
) -> None:
    assert changed(made(FILES), made(after), NOWHERE) == told


def test_a_notice_names_the_day_and_stays_until_the_next_change() -> None:
    before = made(FILES)
    assert updated(made(FILES), None, NOWHERE, "2026-11-27").update is None
    assert updated(made(FILES, "b"), before, NOWHERE, "2026-11-27").update is None
    first = updated(made({**FILES, "model.safetensors": "9"}, "b"), before, NOWHERE, "2026-11-27")
    assert first.update == Update(since="2026-11-27", changed=("weights",), before="a")
    later = updated(made({**FILES, "model.safetensors": "9"}, "c"), first, NOWHERE, "2027-01-01")
    assert later.update == first.update


def test_a_notice_says_what_a_remake_of_the_same_commit_gained() -> None:
    before = made(FILES)
    after = made({**FILES, "model.safetensors": "9"})
    seeing = Made(repo_id="me/y", mark={**after.mark, "sees": True}, report=None, smoke=None)
    update = updated(seeing, before, NOWHERE, "2026-11-27").update
    assert update == Update(since="2026-11-27", changed=("weights",), before="a", same_source=True, sees=True)
    assert read_update(update.to_json()) == update
    plain = Update(since="2026-11-27", changed=("weights",), before="a")
    assert plain.to_json() == {"since": "2026-11-27", "changed": ["weights"], "before": "a"}
    assert updated(seeing, seeing, NOWHERE, "2027-01-01").update is None


@dataclass(frozen=True)
class Held:
    """A file of a repo that the Hub knows by its content alone."""

    content: bytes

    def is_file(self, local: Path, sha256: str) -> bool:
        del sha256
        return local.read_bytes() == self.content


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({}, ()),
        ({"model.safetensors": b"other"}, ("weights",)),
        ({"model.safetensors": None}, ("weights",)),
        ({"tokenizer_config.json": b"other"}, ("tokenizer",)),
        ({"chat_template.jinja": b"other", "config.json": b"other"}, ("chat template",)),
        ({"notes.md": b"mine"}, ()),
    ],
)
def test_what_a_repo_holds_counts_and_not_what_its_mark_says(
    tmp_path: Path, there: dict[str, bytes | None], told: tuple[str, ...]
) -> None:
    names = (*FILES, "tokenizer_config.json")
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    item = made({name: hashlib.sha256(name.encode()).hexdigest() for name in names})
    item = replace(item, tokenizer_parts={"tokenizer": "1", "chat template": "2"})
    held = {**{name: name.encode() for name in names}, **there}
    before = replace(item, stored={name: Held(data) for name, data in held.items() if data is not None})
    assert changed(before, item, tmp_path) == told


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"chat_template": "a", "eos_token": "x"}, ()),
        ({"chat_template": "b", "eos_token": "x"}, ("chat template",)),
        ({"eos_token": "x"}, ("chat template",)),
        ({"chat_template": "a", "eos_token": "y"}, ("tokenizer",)),
        ({"chat_template": "b", "eos_token": "y"}, ("tokenizer", "chat template")),
        ([], ("tokenizer",)),
    ],
)
def test_a_template_among_a_tokenizers_settings_is_told_from_them(
    tmp_path: Path, settings: object, told: tuple[str, ...]
) -> None:
    def at(folder: str, content: object, sha: str) -> Made:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tokenizer_config.json").write_text(json.dumps(content))
        return replace(made({"tokenizer_config.json": sha}), tokenizer_parts=tokenizer_parts(tmp_path / folder))

    before = at("before", {"chat_template": "a", "eos_token": "x"}, "1")
    assert changed(before, at("after", settings, "2"), tmp_path) == told
    assert tokenizer_parts(tmp_path / "nowhere") == {}
    assert has_template(before.tokenizer_parts)
    assert not has_template({})
    assert not has_template(at("plain", {"eos_token": "x"}, "3").tokenizer_parts)
