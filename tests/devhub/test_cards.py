from __future__ import annotations

import pytest

from hubbot.devhub.cards import CardError, faults_of, parse_card, read_card


def test_front_matter_and_text_are_told_apart() -> None:
    card = parse_card("---\nlicense: mit\ntags:\n- moe\n---\n# Title\n---\nnot metadata\n")
    assert card.data == {"license": "mit", "tags": ["moe"]}
    assert card.body == "# Title\n---\nnot metadata\n"


def test_a_readme_without_front_matter_is_all_text() -> None:
    assert parse_card("# Title\n").data == {}
    assert parse_card("---\n---\nText").data == {}


def test_dates_and_nan_become_what_json_can_carry() -> None:
    assert parse_card("---\nday: 2026-01-02\nvalue: .nan\n---\n").data == {"day": "2026-01-02", "value": "NaN"}


@pytest.mark.parametrize(
    "text", ["---\na: [1\n---\n", "---\n- a\n---\n", "---\na: !!python/object:os.x {}\n---\n"]
)
def test_broken_front_matter_is_a_card_error_but_still_shown(text: str) -> None:
    with pytest.raises(CardError):
        parse_card(text)
    assert read_card(text).body == text
    assert faults_of(text)


def test_a_few_aliases_cannot_unfold_into_gigabytes() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for old, new in zip("abcdefg", "bcdefgh", strict=True):
        lines.append(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]")
    with pytest.raises(CardError, match="aliases"):
        parse_card("---\n" + "\n".join(lines) + "\n---\n")


def test_the_hub_names_metadata_of_the_wrong_type() -> None:
    assert faults_of("---\nlicense: mit\n---\n") == []
    assert faults_of("---\npipeline_tag: [a]\ntags: moe\n---\n") == [
        '"pipeline_tag" must be a string',
        '"tags" must be an array',
    ]
