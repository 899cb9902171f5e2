"""A card as the Hub shows it: 700 pixels wide, with the tables and code of GitHub's Markdown."""

import dataclasses
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

from hubbot.cards.made_variants import Update
from hubbot.checkpoints import Checkpoint
from hubbot.steps.card import Setting, render
from tests.checkpoints_on_disk import Workshop, workshop
from tests.steps.test_card import SMOKE, hub, made, parts

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["hub", "workshop"]
pytestmark = pytest.mark.xdist_group("browser")
WIDTH = 700
STYLE = """
body { font: 16px/1.5 sans-serif; margin: 0; width: 700px; }
table { display: block; width: max-content; max-width: 100%; overflow: auto; border-collapse: collapse; }
th, td { padding: 6px 13px; border: 1px solid #d1d9e0; }
code { padding: .2em .4em; font: 85% monospace; white-space: break-spaces; }
pre { padding: 16px; overflow: auto; } pre code { padding: 0; white-space: pre; }
"""
LARGEST = {"bf16": 1_370_000_000_000, "8bit": 727_810_000_000, "moe-mxfp4": 372_300_000_000}
TOO_WIDE = f"""() => [...document.querySelectorAll('table')]
  .filter(table => table.scrollWidth > {WIDTH} || table.scrollWidth > table.clientWidth)
  .map(table => table.innerText)"""


def test_no_table_of_a_card_is_cut_off_at_700_pixels(
    chromium: "Browser", hub: Checkpoint, workshop: Workshop
) -> None:
    items = []
    for variant, nbytes in LARGEST.items():
        item = made(workshop, "4bit", smoke=SMOKE, bytes=nbytes, bits_per_weight=16.0)
        item = dataclasses.replace(item, mark={**item.mark, "variant": variant})
        name = f"mlx-community/Qwen3-Coder-480B-A35B-Instruct-2507-abliterated-MLX-{variant}"
        items.append(dataclasses.replace(item, repo_id=name))
    update = Update(since="2026-11-27", changed=("weights", "tokenizer", "chat template"), before="b" * 40)
    items[-1] = dataclasses.replace(items[-1], update=update, current_at="d" * 40)
    _, body = parts(render(hub, items, items[-1], Setting(today="2026-11-27", homepage="https://a.example")))
    page = chromium.new_page(viewport={"width": WIDTH, "height": 1000})
    page.set_content(f"<style>{STYLE}</style>{MarkdownIt('commonmark').enable('table').render(body)}")
    assert page.locator("table").count() == 3
    assert page.evaluate(TOO_WIDE) == []
    page.close()
