"""What can happen in a story: each plot is a row of beats, each beat a choice of sentences.

Slots in braces are filled by `stories`. {he}, {him}, {his} follow the hero, {fhe}, {fhim}, {fhis} the friend.
Knows no chance and no names; `stories` chooses.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One pattern of cause and effect; `asks` are (question, answer) pairs that its story settles."""

    topic: str
    beats: tuple[tuple[str, ...], ...]
    morals: tuple[str, ...]
    asks: tuple[tuple[str, str], ...]


LOST = Plot(
    topic="a lost {thing}",
    beats=(
        (
            "{hero} had a {colour} {thing} and loved it very much.",
            "The best thing {hero} had was a {colour} {thing}.",
        ),
        (
            "{time} {he} played {place}, and the {thing} was gone.",
            "{time} {he} came home from a walk without it.",
            "{time} {he} looked in {his} bag, but the {thing} was not there.",
        ),
        (
            '"Where is my {thing}?" {he} cried.',
            '"Oh no! I have lost my {thing}," said {hero}.',
            "{He} sat down and began to cry.",
        ),
        (
            "{friend} the {fkind} heard {him} and came to help.",
            (
                'Then {friend} the {fkind} came along. "Do not cry, {hero}. '
                'We will look for it together," said {friend}.'
            ),
        ),
        (
            "They looked {place} and they looked under every tree.",
            "They looked high and low until the sun went down.",
        ),
        (
            "At last {friend} found the {colour} {thing} {hideout}.",
            'At last {friend} saw something {colour} {hideout}. "Here it is!" {fhe} called.',
        ),
        (
            '"Thank you, {friend}," said {hero}. {He} was so happy that {he} danced all the way home.',
            "{hero} gave {friend} a big hug, and they walked home together.",
        ),
    ),
    morals=("A good friend helps you look.", "What is lost can be found when friends look together."),
    asks=(
        ("What did {hero} lose?", "{hero} lost a {colour} {thing}."),
        ("Who found the {thing}?", "{friend} the {fkind} found it."),
        ("Where was the {thing}?", "It was {hideout}."),
    ),
)

SHARE = Plot(
    topic="sharing",
    beats=(
        (
            "{time} {hero} made some {food} and put it on the table.",
            "{time} {hero} carried a basket with {food} {place}.",
        ),
        (
            "{friend} the {fkind} came by. {Fhe} had not eaten all day.",
            "There {he} met {friend} the {fkind}, who was very hungry.",
        ),
        ('"May I have a little?" asked {friend}.', '"That smells good," said {friend} in a small voice.'),
        (
            "At first {hero} wanted to keep it all. But {he} saw how thin {friend} was.",
            "{hero} thought for a moment, because there was not much {food}.",
            '"Of course," said {hero} with a smile.',
        ),
        (
            "So {he} cut the {food} into two parts and gave the bigger part to {friend}.",
            "So they sat down side by side and shared the {food}.",
        ),
        (
            "The next week {hero} was hungry, and {friend} came with a full basket for {him}.",
            "When winter came, {hero} had nothing left, and this time {friend} shared with {him}.",
        ),
    ),
    morals=("What you share comes back to you.", "Food tastes better when you share it."),
    asks=(
        ("What did they share?", "They shared the {food}."),
        ("Who was hungry?", "{friend} the {fkind} was hungry."),
    ),
)

STORM = Plot(
    topic="a storm",
    beats=(
        ("{time} dark clouds came over the hill.", "{time} the wind grew strong and the sky turned black."),
        (
            "{hero} ran home and shut the door, for the rain was falling hard.",
            "{hero} was warm and dry at home while the rain beat on the roof.",
        ),
        ("Then {he} heard a knock.", "Then somebody knocked at the door."),
        (
            "It was {friend} the {fkind}. {Fhe} was wet and cold, because the storm had broken {fhis} roof.",
            "{friend} the {fkind} stood outside, and water ran from {fhis} ears.",
        ),
        (
            '"Come in, come in!" said {hero}. "There is room for two by the fire."',
            "{hero} pulled {fhim} inside and gave {fhim} a dry blanket.",
        ),
        (
            "They ate {food} and told stories until the storm was over.",
            "They drank hot tea, and soon {friend} was warm again.",
        ),
        (
            "In the morning the sun came out, and {hero} helped {friend} to mend the roof.",
            "In the morning the storm was gone, and they were the best of friends.",
        ),
    ),
    morals=("An open door makes a friend.", "A small house is big enough for a friend."),
    asks=(
        ("Who knocked at the door?", "{friend} the {fkind} knocked at the door."),
        ("Why was {friend} cold?", "{friend} was cold because of the storm."),
    ),
)

RACE = Plot(
    topic="a race",
    beats=(
        (
            '{hero} could run very fast. "Nobody is as fast as I am," {he} said every day.',
            "{hero} was proud of {his} legs and told everybody how fast {he} was.",
        ),
        (
            '{friend} the {fkind} was slow, but {fhe} said, "Let us race to the {goal}."',
            '{time} {friend} the {fkind} said, "I will race you to the {goal}."',
        ),
        ("{hero} laughed so hard that {he} fell over.", '"You?" laughed {hero}. "You are much too slow!"'),
        ("They began to run, and soon {hero} was far ahead.", "One, two, three, and off they went!"),
        (
            "{hero} felt so sure that {he} lay down under a tree and fell asleep.",
            "{hero} stopped to eat {food} and forgot about the race.",
        ),
        (
            "But {friend} did not stop. Step by step {fhe} went on.",
            "{friend} walked on and on and never looked back.",
        ),
        (
            "When {hero} came to the {goal}, {friend} was already there.",
            "When {hero} woke up and ran to the {goal}, it was too late. {friend} had won.",
        ),
    ),
    morals=("Slow and steady is better than fast and proud.", "Do not laugh at those who are slow."),
    asks=(
        ("Who won the race?", "{friend} the {fkind} won the race."),
        ("Where did they run?", "They ran to the {goal}."),
    ),
)

STUCK = Plot(
    topic="a deep hole",
    beats=(
        ("{time} {hero} walked {place} and did not look down.", "{time} {hero} was chasing a butterfly {place}."),
        ("All at once {he} fell into a deep hole.", "{He} slipped on the wet leaves and fell into a hole."),
        ('"Help! Help!" {he} shouted.', "{He} jumped and jumped, but the walls were too high."),
        (
            "{other} the {okind} came by, but {other} was too busy to stop.",
            '{other} the {okind} looked in and said, "I have no time," and went away.',
        ),
        (
            "Then {friend} the {fkind} came. {Fhe} was small, but {fhe} had a good idea.",
            "After a long time {friend} the {fkind} heard {him}.",
        ),
        (
            "{Fhe} brought a long rope and tied it to a tree, and {hero} climbed out.",
            "{Fhe} pushed a long branch into the hole, and {hero} climbed up on it.",
        ),
        (
            '"You saved me," said {hero}. "I will never forget it."',
            "{hero} thanked {fhim} and promised to look where {he} was going.",
        ),
    ),
    morals=("Look where you walk.", "A true friend has time for you."),
    asks=(
        ("Who helped {hero}?", "{friend} the {fkind} helped {hero}."),
        ("Who had no time?", "{other} the {okind} had no time."),
    ),
)

FIRST = (LOST, SHARE, STORM, RACE, STUCK)
