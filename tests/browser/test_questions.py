"""What people ask, each answered on the first screen of the right page, on a desk and on a phone."""

from typing import TYPE_CHECKING

import pytest

from hubbot.errors import HubUnavailable
from tests.browser.conftest import visiting
from tests.browser.test_pages import filled, size
from tests.web.conftest import Bench

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["filled", "size"]
pytestmark = pytest.mark.xdist_group("browser")
MODEL = "/published/fables/Fox"
# The question, the page, and the words on it that answer, each within one element.
QUESTIONS = (
    ("Which one is for my Mac with 32 GB?", MODEL, ("32 to 64 GB 4bit good KL 0.0310", "a 32 GB Mac")),
    ("Which models fit a Mac with 32 GB?", "/published?mac=32", ("fables/Fox",)),
    ("Is 4bit good?", MODEL, ("Recommended: 4bit", "good KL 0.0310")),
    ("How large is the download?", MODEL, ("17.00 GB to download",)),
    ("How do I run it?", MODEL, ("pip install mlx-lm", "--model mlx/Fox-MLX-4bit")),
    ("Was it proven?", MODEL, ("Gates: structure pass, values pass",)),
    ("Where does it come from?", MODEL, ("converted from commit aaaaaaaaaaaa of the source",)),
    ("Why is it parked?", "/jobs/1", ("no row matches 'experts.w1' (layer 3)",)),
    ("What can I do about it?", "/jobs/1", ("add a row to the catalogue", "Retry")),
    ("Does anything need me?", "/", ("Needs a person", "fables/Odd", "add a row to the catalogue")),
    ("What is it doing, and how far is it?", "/", ("fables/Running", "75 %, shard 3 of 4")),
    ("Can it convert my model type?", "/layouts?text=qwen3_moe", ("qwen3_moe convertible",)),
    ("Is the bot alive?", "/health", ("mac-mini 2 ok",)),
    ("How much memory does it need?", MODEL, ("18.40 GB of memory",)),
    ("What does KL mean?", MODEL, ("good KL 0.0310 nats from the unquantized model",)),
    ("What is there for a Mac with 64 GB?", MODEL, ("32 to 64 GB 4bit",)),
    ("Does anything good run in 16 GB?", "/published?mac=16&quality=good", ("No published model is like that.",)),
    ("Which good one is the smallest?", "/published?quality=good&sort=smallest&order=asc", ("fables/Fox",)),
    ("How much is published?", "/", ("models published, 3 repos, 327.00 GB",)),
    ("How do I have a model converted?", "/", ("Enqueue a checkpoint",)),
    ("What waits?", "/jobs?state=waiting", ("fables/Waiting",)),
    ("Why is it not tried again, and when is it?", "/jobs/4", ("the Hub answered 503", "tried again in 1.0 min")),
    ("Who asked for it?", "/jobs/1", ("Job 1, asked for by a test",)),
    ("How do I stop it?", "/jobs/2", ("running inspect", "Cancel")),
    ("How do I let it go first?", "/jobs/3", ("Priority",)),
    ("Which jobs failed, and why?", "/jobs?state=parked", ("fables/Odd", "no row matches 'experts.w1'")),
    ("Why not my model type?", "/layouts?text=gpt2", ("refused by name",)),
    ("Is there room on its disk?", "/health", (" free",)),
)
# An element shows on the first screen where its whole box lies within the window and what scrolls inside it.
ON_THE_FIRST_SCREEN = """words => [...document.querySelectorAll('main, main *')].some(element => {
  const said = element.innerText?.replace(/\\s+/g, ' ') ?? '';
  if (!said.includes(words)) return false;
  const range = document.createRange();
  range.selectNodeContents(element);
  const box = range.getBoundingClientRect();
  return box.width > 0 && box.left >= 0 && box.top >= 0
    && box.right <= window.innerWidth && box.bottom <= window.innerHeight;
})"""


def test_every_question_is_answered_on_the_first_screen(chromium: "Browser", filled: Bench, size: str) -> None:
    later = filled.job("fables/Later")
    filled.records.queue.prioritise(later.id, 9)
    filled.refuse(HubUnavailable("the Hub answered 503", where="fables/Later"))
    with visiting(chromium, filled, size, scripts=True) as who:
        for question, page, answers in QUESTIONS:
            who.open(page)
            for answer in answers:
                assert who.page.evaluate(ON_THE_FIRST_SCREEN, answer), f"{question} {page} does not say {answer!r}"
        assert who.complaints == []
