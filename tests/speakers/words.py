"""The cast and the props of the stories: who may appear, where, and with what.

Knows words only. Never decides what happens to them; `plots` does.
"""

from __future__ import annotations

from typing import TypeAlias

Names: TypeAlias = tuple[str, ...]

KINDS: Names = ("badger", "bear", "cat", "crow", "deer", "dog", "duck", "fox", "frog", "goat")
KINDS += ("hare", "hen", "mole", "mouse", "otter", "owl", "sheep", "squirrel", "turtle", "wolf")

SHE_NAMES = ("Ada", "Flora", "Hazel", "Ivy", "Luna", "Mabel", "Mira", "Nell", "Pia", "Rosa", "Tilda", "Willow")
HE_NAMES = ("Bruno", "Felix", "Finn", "Hugo", "Jack", "Leo", "Ned", "Oscar", "Otto", "Rufus", "Sam", "Tom")

TEMPERS: Names = ("brave", "careful", "cheerful", "clever", "gentle", "kind", "lazy", "little", "old")
TEMPERS += ("patient", "proud", "quiet", "shy", "small", "wise", "young")

HOMES: Names = ("by the river", "by the lake", "near the old mill", "on a green hill", "under a tall oak")
HOMES += ("in the deep forest", "at the edge of the village", "behind the red barn")

PLACES: Names = ("by the river", "in the forest", "on the hill", "near the old bridge", "in the meadow")
PLACES += ("at the market", "behind the mill", "in the garden", "beside the pond", "on the long road")

HIDEOUTS: Names = (
    "under a bush",
    "behind a stone",
    "in the tall grass",
    "under the bridge",
    "inside a hollow log",
)
HIDEOUTS += ("at the bottom of the pond", "on top of the wall", "in an empty nest")

COLOURS = ("red", "blue", "green", "yellow", "white", "silver", "golden")
THINGS = ("ball", "bell", "book", "button", "cup", "drum", "hat", "kite", "lamp", "ring", "scarf", "spoon")

FOODS = ("bread", "cheese", "honey", "soup", "apple pie", "berry jam", "fresh corn", "mushroom stew")
SEEDS = ("apple", "bean", "carrot", "pumpkin", "rose", "sunflower")
WORKS = (
    ("bridge", "wood and rope"),
    ("boat", "oak boards"),
    ("house", "stone and clay"),
    ("wall", "round stones"),
    ("cart", "old wheels and wood"),
    ("nest", "soft grass"),
)

TIMES = ("One morning", "One day", "One afternoon", "One evening", "Early one day", "On a quiet Sunday")
SEASONS = ("In spring", "In summer", "In autumn", "In winter")
SKIES = (
    "The sun was warm and bright.",
    "The sky was grey and full of clouds.",
    "A soft wind moved the leaves.",
    "It had rained all night and the grass was wet.",
    "The air was cold and clear.",
    "Birds sang in every tree.",
)
