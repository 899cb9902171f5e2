"""More plots: work, fear, tricks, gardens, songs, questions and gifts.

The same kind of rows as in `plots`, apart only so that neither file grows too long to read.
"""

from __future__ import annotations

from tests.speakers.plots import FIRST, Plot

BUILD = Plot(
    topic="a {work}",
    beats=(
        ("{season} {hero} wanted to build a {work}.", '"I need a new {work}," said {hero} one day.'),
        ("{He} collected {stuff} and worked from morning to night.", "{He} took {stuff} and began to build."),
        (
            "But the work was too hard for one {kind} alone.",
            "But every time the {work} was almost done, it fell down.",
        ),
        (
            '{friend} the {fkind} watched {him} and asked, "Why do you not ask for help?"',
            '"May I help you?" asked {friend} the {fkind}.',
        ),
        (
            '"I want to do it all by myself," said {hero}. The next day {he} was so tired that {he} said yes.',
            '"Yes, please," said {hero}.',
        ),
        (
            "{friend} held the heavy parts while {hero} put them in place.",
            "{hero} and {friend} worked side by side and sang a song.",
        ),
        (
            "By evening the {work} was ready, and it was strong.",
            "Three days later the {work} stood firm and proud.",
        ),
    ),
    morals=("Two can do what one cannot.", "It is wise to ask for help."),
    asks=(
        ("What did {hero} build?", "{hero} built a {work} of {stuff}."),
        ("Who helped {hero}?", "{friend} the {fkind} helped {hero}."),
    ),
)

DARK = Plot(
    topic="the dark",
    beats=(
        (
            "{hero} was afraid of the dark.",
            "When night came, {hero} hid under the blanket, for {he} feared the dark.",
        ),
        (
            "{time} {he} stayed too long {place}, and the sun went down.",
            "{time} {he} lost the path {place}, and soon it was night.",
        ),
        (
            "Every tree looked like a giant, and {he} heard a strange sound.",
            '"Who is there?" {he} whispered, but nobody answered.',
        ),
        (
            "It was only {friend} the {fkind}, who carried a {colour} lamp.",
            "Then {he} saw a light. It was {friend} the {fkind} with a {colour} lamp.",
        ),
        (
            '"Look up," said {friend}. "The stars are always there."',
            '"The dark is not bad," said {friend}. "It is only the day with its eyes closed."',
        ),
        (
            "{hero} looked at the stars and was not so afraid any more.",
            "They walked home slowly and counted the stars.",
        ),
    ),
    morals=("A little light is enough to find the way.", "Fear grows small when a friend is near."),
    asks=(
        ("What was {hero} afraid of?", "{hero} was afraid of the dark."),
        ("Who carried a lamp?", "{friend} the {fkind} carried a {colour} lamp."),
    ),
)

TRICK = Plot(
    topic="a trick",
    beats=(
        (
            "{hero} the {kind} and {friend} the {fkind} were given a big pot of {food}.",
            "{time} {hero} and {friend} the {fkind} found some {food} {place}.",
        ),
        (
            '{hero} told {friend} the {fkind}, "A wolf is coming! Run!"',
            '"I hear a hunter," said {hero}. "Quick, {friend}, hide in the barn!"',
        ),
        (
            "{friend} ran away, and {hero} laughed and ate everything.",
            "But it was not true. {He} ate it all alone.",
        ),
        ("That night {his} stomach hurt.", "Soon {he} felt sick, and {he} could not sleep."),
        (
            "{friend} came back with warm tea, because {fhe} was worried.",
            "{friend} heard {him} cry and brought {him} some medicine.",
        ),
        (
            '"I told you a lie, and I am sorry," said {hero}.',
            "{hero} felt ashamed and told {fhim} the truth.",
        ),
        (
            '"I forgive you," said {friend}. "But do not lie to me again."',
            "{friend} was quiet for a while. Then {fhe} smiled and forgave {him}.",
        ),
    ),
    morals=("A lie has a bitter taste.", "The truth is the best food for friends."),
    asks=(
        ("Who told a lie?", "{hero} the {kind} told a lie."),
        ("Who forgave {hero}?", "{friend} the {fkind} forgave {hero}."),
    ),
)

SEED = Plot(
    topic="a garden",
    beats=(
        ("{season} {hero} put {a_seed} seed into the ground.", "{friend} the {fkind} gave {hero} {a_seed} seed."),
        (
            "{He} gave it water every day, but nothing happened.",
            "{He} looked at it every morning, but there was only brown earth.",
        ),
        (
            '"It will never grow," said {hero}. "Wait," said {friend} the {fkind}. "Good things are slow."',
            '"You must be patient," said {friend} the {fkind}.',
        ),
        ("The rain fell and the sun shone.", "One week passed, and then another."),
        ("Then a tiny green leaf came out of the earth.", "Then one morning {he} saw a small green leaf."),
        (
            "By the end of summer the {seed} plant was taller than {hero}.",
            "It grew and grew until the whole garden smelled sweet.",
        ),
    ),
    morals=("Good things need time.", "Who can wait will be glad."),
    asks=(
        ("What did {hero} plant?", "{hero} planted {a_seed} seed."),
        ("Who said that {hero} must wait?", "{friend} the {fkind} said that."),
    ),
)

SONG = Plot(
    topic="a song",
    beats=(
        (
            "{hero} loved to sing, but only when {he} was alone.",
            "{hero} had a lovely voice, but {he} was too shy to sing.",
        ),
        (
            "{time} {friend} the {fkind} heard {him} sing {place}.",
            "{time} {he} sang {place}, and {friend} the {fkind} was listening behind a tree.",
        ),
        ('"That was beautiful!" said {friend}.', '"Please sing it again," said {friend}.'),
        ("{hero} turned red and wanted to run away.", "{hero} looked at the ground and said nothing."),
        (
            '"I will play the drum, and you will sing," said {friend}.',
            '"We can sing together," said {friend}. "Then you are not alone."',
        ),
        (
            "That night they sang for the whole village, and everybody clapped.",
            "So they sang under the moon, and all the animals came to listen.",
        ),
    ),
    morals=("A song is for sharing.", "Be brave and let your voice be heard."),
    asks=(
        ("Who listened to {hero}?", "{friend} the {fkind} listened to {hero}."),
        ("Why did {hero} sing alone?", "{hero} sang alone because {he} was shy."),
    ),
)

ASK = Plot(
    topic="a question",
    beats=(
        ('{hero} had a question. "{riddle}" {he} asked.', '{time} {hero} asked everybody, "{riddle}"'),
        ("{other} the {okind} did not know.", '"I do not know," said {other} the {okind}.'),
        (
            "So {he} climbed the hill to see {friend} the {fkind}, who was very old.",
            "So {he} walked all day to find {friend}, the wisest {fkind} in the land.",
        ),
        ('{friend} closed {fhis} eyes and thought. "{answer}" {fhe} said.', '"{answer}" said {friend} slowly.'),
        (
            "{hero} thought about it all the way home, and {he} smiled.",
            '"Now I understand," said {hero}, and {he} thanked {fhim}.',
        ),
    ),
    morals=("Those who ask will learn.", "A good question is worth a long walk."),
    asks=(
        ("What did {hero} ask?", '{hero} asked, "{riddle}"'),
        ("Who knew the answer?", "{friend} the {fkind} knew the answer."),
    ),
)

GIFT = Plot(
    topic="a gift",
    beats=(
        ("It was the birthday of {friend} the {fkind}.", "{friend} the {fkind} was ill and had to stay in bed."),
        ("{hero} had no money for a gift.", "{hero} wanted to bring {fhim} something nice."),
        (
            "{He} went to the market and traded {his} own hat for a {colour} {thing}.",
            "So {he} worked all day {place} to buy a {colour} {thing}.",
        ),
        (
            '"This is for you," said {hero} and put the {thing} on the table.',
            "In the evening {he} knocked at the door with the {colour} {thing}.",
        ),
        (
            "{friend} was so glad that {fhe} laughed and cried.",
            '"It is lovely," said {friend}, and {fhis} eyes were bright.',
        ),
        (
            '"But the best gift is that you came," said {fhe}.',
            "They ate {food} and talked until the moon was high.",
        ),
    ),
    morals=("The best gift comes from the heart.", "A friend is a gift that lasts."),
    asks=(
        ("What did {hero} give to {friend}?", "{hero} gave {fhim} a {colour} {thing}."),
        ("Who got a gift?", "{friend} the {fkind} got a gift."),
    ),
)

PLOTS = (*FIRST, BUILD, DARK, TRICK, SEED, SONG, ASK, GIFT)
RIDDLES = (
    ("Why is the sky blue?", "The sky is blue because the sun paints it every morning,"),
    ("Where does the moon go in the day?", "The moon goes to bed when the sun gets up,"),
    ("What is the strongest thing in the world?", "Water is the strongest, because it never gives up,"),
    ("Why do leaves fall?", "Leaves fall so that the tree can sleep,"),
    ("How do I find a friend?", "Be a friend, and you will find one,"),
    ("What is bigger than the sea?", "A kind heart is bigger than the sea,"),
)
GOALS = ("old mill", "big oak", "lake", "bridge", "hill", "village gate")
