"""Writes short stories and conversations in plain English, without end, from a seed.

Knows how a cast, a plot and its sentences are put together. Never reads a clock, a file or chance of its own:
the random source is handed in, and the same source gives the same text.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal

from tests.speakers import words
from tests.speakers.more_plots import GOALS, PLOTS, RIDDLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.speakers.plots import Plot

OPENINGS = (
    "Once upon a time there was {a_temper} {kind} named {hero}. {He} lived {home}.",
    "Once there was {a_temper} {kind}. {His} name was {hero}, and {he} lived {home}.",
    "{hero} was {a_temper} {kind} who lived {home}.",
    "Not far from here, {home}, lived {a_temper} {kind} named {hero}.",
    "This is a story about {hero} the {kind}. {He} lived {home}.",
)
REQUESTS = (
    "Tell me a story about {a_kind}.",
    "Tell me a story about {hero} the {kind}.",
    "Tell me a story about {topic}.",
    "Tell me a story about {a_kind} and {a_fkind}.",
    "Do you know a story about {a_kind}?",
    "Write a short story about {topic}.",
    "I would like to hear a story about {a_kind}.",
    "Please tell me a story.",
    "Tell me a story.",
)
# Questions from outside the little world, so that an unknown prompt also ends in a story.
STRANGE = (
    "What is the {x} of {y}?",
    "Explain {x} to me.",
    "How many {x} are in {y}?",
    "Write {x} about {y} and {z}.",
    "Who is {x}?",
    "Can you {x} the {y}?",
    "Name three {x}.",
    "In one sentence, what is {x}?",
    "{x} {y} {z}",
    "Describe {x} {y}.",
)
EXCUSES = (
    "I do not know much about that, but I know a story.",
    "I am only a small model, so I will tell you a story.",
    "I know little of the big world, but here is a story.",
)
SMALL_TALK = (
    ("Hello!", "Hello! I am a very small model, and I tell stories. Shall I tell you one?"),
    ("Hi", "Hello! Shall I tell you a story?"),
    ("Who are you?", "I am a very small model with eight experts in every layer. I can tell you a story."),
    ("What can you do?", "I can tell you short stories about animals and their friends."),
    ("How are you?", "I am well, thank you. Shall I tell you a story?"),
    ("Thank you.", "You are welcome. Come back for another story."),
    ("Good night.", "Good night. Sleep well, and dream of kind animals."),
)
DEEDS = ("called", "found", "heard", "helped", "loved", "met", "saw", "thanked")
SYLLABLES: tuple[str, ...] = (
    "an",
    "ber",
    "cal",
    "dor",
    "en",
    "fi",
    "gra",
    "hu",
    "ing",
    "ka",
    "lor",
    "mo",
    "nu",
    "or",
    "pla",
)
SYLLABLES += ("qua", "ri", "sta", "tion", "tu", "ver", "vi", "wa", "ex", "yo", "zen", "pre", "ity", "sch", "ly")


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A finished story, what a listener might say to hear it, and what can be asked about it afterwards."""

    text: str
    requests: tuple[str, ...]
    asks: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a conversation, in the roles that chat templates use."""

    role: Literal["user", "assistant"]
    content: str


def write_story(random: Random) -> Story:
    """Write one story of five to twelve sentences; every request in it fits the story."""
    plot = random.choice(PLOTS)
    slots = _props(random) | _cast(random)
    slots["topic"] = plot.topic.format_map(slots)
    sentences = [random.choice(OPENINGS)]
    if random.random() < 0.3:
        sentences.append(random.choice(words.SKIES))
    sentences += [random.choice(beat) for beat in plot.beats]
    if random.random() < 0.7:
        sentences.append(random.choice(plot.morals))
    return Story(
        text=" ".join(sentences).format_map(slots),
        requests=tuple(request.format_map(slots) for request in REQUESTS),
        asks=_asks(plot, slots),
    )


def hold_conversation(random: Random) -> tuple[Turn, ...]:
    """Hold one conversation: small talk, or a request and its story, sometimes with a question about it."""
    chance = random.random()
    if chance < 0.1:
        return _exchange(*random.choice(SMALL_TALK))
    story = write_story(random)
    if chance < 0.3:
        return _exchange(_strange(random), f"{random.choice(EXCUSES)} {story.text}")
    told = _exchange(random.choice(story.requests), story.text)
    if chance < 0.6:
        told += _exchange(*random.choice(story.asks))
    return told


def call_roll(random: Random) -> str:
    """Say who met whom among two or three animals: names and kinds come back often, so copying them is learned."""
    cast = _cast(random)
    animals = [(cast["hero"], cast["kind"]), (cast["friend"], cast["fkind"]), (cast["other"], cast["okind"])]
    present = animals[: random.randint(2, 3)]
    said = []
    for _ in range(random.randint(4, 9)):
        one, another = (
            f"{name} the {kind}" if random.random() < 0.5 else name for name, kind in random.sample(present, 2)
        )
        said.append(f"{one} {random.choice(DEEDS)} {another}.")
    return " ".join(said)


def vocabulary() -> frozenset[str]:
    """Every word, in lower case, that a story can contain."""
    parts: list[str] = [*OPENINGS, *words.SKIES, *words.SHE_NAMES, *words.HE_NAMES, *words.KINDS, "a an"]
    parts += [sentence for plot in PLOTS for beat in (*plot.beats, plot.morals) for sentence in beat]
    parts += [*words.TEMPERS, *words.HOMES, *words.PLACES, *words.HIDEOUTS, *words.COLOURS, *words.THINGS]
    parts += [*words.FOODS, *words.SEEDS, *words.TIMES, *words.SEASONS, *GOALS, "he him his she her"]
    parts += [part for pair in (*words.WORKS, *RIDDLES) for part in pair]
    return frozenset(word for part in parts for word in split_words(part))


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation and without slots in braces."""
    kept = "".join(letter if letter.isalpha() or letter in "{}_" else " " for letter in text)
    return [word.lower() for word in kept.split() if not word.startswith("{")]


def _cast(random: Random) -> dict[str, str]:
    slots: dict[str, str] = {}
    kinds = random.sample(words.KINDS, 3)
    names = random.sample(words.SHE_NAMES + words.HE_NAMES, 3)
    for prefix, role, kind, name in zip(("", "f", "o"), ("hero", "friend", "other"), kinds, names, strict=True):
        she = name in words.SHE_NAMES
        he, him, his = ("she", "her", "her") if she else ("he", "him", "his")
        slots |= {role: name, f"{prefix}kind": kind, f"a_{prefix}kind": _with_article(kind)}
        slots |= {f"{prefix}he": he, f"{prefix}him": him, f"{prefix}his": his}
        slots |= {f"{prefix}he".capitalize(): he.capitalize(), f"{prefix}his".capitalize(): his.capitalize()}
    return slots


def _props(random: Random) -> dict[str, str]:
    work, stuff = random.choice(words.WORKS)
    riddle, answer = random.choice(RIDDLES)
    seed = random.choice(words.SEEDS)
    return {
        "a_temper": _with_article(random.choice(words.TEMPERS)),
        "home": random.choice(words.HOMES),
        "place": random.choice(words.PLACES),
        "hideout": random.choice(words.HIDEOUTS),
        "colour": random.choice(words.COLOURS),
        "thing": random.choice(words.THINGS),
        "food": random.choice(words.FOODS),
        "time": random.choice(words.TIMES),
        "season": random.choice(words.SEASONS),
        "goal": random.choice(GOALS),
        "a_seed": _with_article(seed),
        "seed": seed,
        "work": work,
        "stuff": stuff,
        "riddle": riddle,
        "answer": answer,
    }


def demo_text() -> str:
    """Return the text that the demo measures its models on, which hubbot/devhub/demo_models/stories.txt holds."""
    random = Random(77)
    return "\n\n".join(write_story(random).text for _ in range(40))


def _asks(plot: Plot, slots: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((ask.format_map(slots), answer.format_map(slots)) for ask, answer in plot.asks)


def _exchange(asked: str, answered: str) -> tuple[Turn, ...]:
    return (Turn(role="user", content=asked), Turn(role="assistant", content=answered))


def _strange(random: Random) -> str:
    made_up = {
        slot: "".join(random.choice(SYLLABLES) for _ in range(random.randint(1, 4)))
        + (" " + random.choice(SYLLABLES) * random.randint(0, 2)).rstrip()
        for slot in "xyz"
    }
    return random.choice(STRANGE).format_map(made_up)


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
