"""What those who have downloaded a repo are told to download again."""

import pytest

from hubbot.cards.changes import changed, updated
from hubbot.cards.made_variants import Made, Update, read_update

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
    assert changed(mark(FILES), mark(after)) == told


def test_a_notice_names_the_day_and_stays_until_the_next_change() -> None:
    before = made(FILES)
    assert updated(made(FILES), None, "2026-11-27").update is None
    assert updated(made(FILES, "b"), before, "2026-11-27").update is None
    first = updated(made({**FILES, "model.safetensors": "9"}, "b"), before, "2026-11-27")
    assert first.update == Update(since="2026-11-27", changed=("weights",), before="a")
    later = updated(made({**FILES, "model.safetensors": "9"}, "c"), first, "2027-01-01")
    assert later.update == first.update


def test_a_notice_says_what_a_remake_of_the_same_commit_gained() -> None:
    before = made(FILES)
    after = made({**FILES, "model.safetensors": "9"})
    seeing = Made(repo_id="me/y", mark={**after.mark, "sees": True}, report=None, smoke=None)
    update = updated(seeing, before, "2026-11-27").update
    assert update == Update(since="2026-11-27", changed=("weights",), before="a", same_source=True, sees=True)
    assert read_update(update.to_json()) == update
    plain = Update(since="2026-11-27", changed=("weights",), before="a")
    assert plain.to_json() == {"since": "2026-11-27", "changed": ["weights"], "before": "a"}
    assert updated(seeing, seeing, "2027-01-01").update is None
