from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from hubbot.devhub import demo_models
from tests.speakers.more_plots import PLOTS
from tests.speakers.stories import (
    EXCUSES,
    call_roll,
    demo_text,
    hold_conversation,
    split_words,
    vocabulary,
    write_story,
)
from tests.speakers.words import HE_NAMES, SHE_NAMES


def test_the_same_seed_tells_the_same_stories() -> None:
    once = [write_story(Random(7)) for _ in range(3)]
    again = [write_story(Random(7)) for _ in range(3)]

    assert once == again


def test_different_seeds_tell_different_stories() -> None:
    random = Random(1)

    assert len({write_story(random).text for _ in range(200)}) == 200


def test_no_slot_stays_unfilled_in_a_story_or_in_what_is_said_about_it() -> None:
    random = Random(2)
    for _ in range(500):
        story = write_story(random)
        said = [story.text, *story.requests, *(part for pair in story.asks for part in pair)]

        assert not any("{" in text or "}" in text for text in said)


def test_every_word_of_a_story_is_in_the_vocabulary() -> None:
    random = Random(3)
    seen = {word for _ in range(2000) for word in split_words(write_story(random).text)}

    assert seen <= vocabulary()


def test_the_vocabulary_is_small() -> None:
    assert 400 <= len(vocabulary()) <= 700


def test_every_plot_is_told() -> None:
    random = Random(4)
    questions = {pair[0].split()[0] for _ in range(500) for pair in write_story(random).asks}

    assert len(PLOTS) == 12
    assert questions >= {"Who", "What", "Where", "Why"}


@pytest.mark.parametrize("seed", range(20))
def test_the_hero_is_introduced_with_the_pronoun_of_their_name(seed: int) -> None:
    text = write_story(Random(seed)).text
    opening = " ".join(text.split()[:25])
    hero = next(
        word for word in opening.replace(".", " ").replace(",", " ").split() if word in HE_NAMES + SHE_NAMES
    )
    wrong = {"his", "him"} if hero in SHE_NAMES else {"her"}
    introduction = text.split(hero)[0]

    assert not wrong & set(split_words(introduction))


def test_a_conversation_takes_turns_and_ends_with_the_assistant() -> None:
    random = Random(5)
    for _ in range(200):
        roles = [turn.role for turn in hold_conversation(random)]

        assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_a_question_from_outside_is_excused_and_still_answered_with_a_story() -> None:
    random = Random(6)
    excused = [
        turns[1].content
        for turns in (hold_conversation(random) for _ in range(200))
        if turns[1].content.startswith(EXCUSES)
    ]

    assert len(excused) > 20
    assert all(len(answer.split()) > 30 for answer in excused)


def test_a_roll_call_brings_its_animals_back() -> None:
    random = Random(8)
    for _ in range(50):
        said = call_roll(random)
        named = [word for word in said.replace(".", "").split() if word in HE_NAMES + SHE_NAMES]

        assert 2 <= len(set(named)) <= 3
        assert len(named) >= 8


def test_the_demos_text_is_what_the_stories_are_today() -> None:
    path = Path(demo_models.__file__).parent / "stories.txt"
    assert path.read_text(encoding="utf-8") == demo_text()
