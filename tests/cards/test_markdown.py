"""Whatever a source says is shown as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hubbot.cards.markdown import cell_code, code, fenced, text

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def shown(markdown: str) -> str:
    tokens = READER.parse(markdown)
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"], markdown
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special", "code_inline"}, markdown
    return "".join(child.content for child in children)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Zs", "Zl", "Zp", "Cc", "Cf"]), min_size=1))
def test_any_text_is_shown_as_it_is(said: str) -> None:
    if "&" in said:  # an entity is shown as what it stands for, which does no harm
        said = said.replace("&", "+")
    assert shown("x " + text(said)) == "x " + said[:300].rstrip()


@given(st.text(min_size=1))
def test_any_text_stays_within_its_cell(said: str) -> None:
    table = f"| a | b |\n|---|---|\n| {text(said)} | {cell_code(said)} |\n"
    cells = [token for token in READER.parse(table) if token.type == "td_open"]
    assert len(cells) == 2


@pytest.mark.parametrize("said", ["a[0:64]", "`x`", "a|b", "<b>", "# x", "- x", "![i](u)", "~~x~~", "*x*"])
def test_what_looks_like_markup_is_text(said: str) -> None:
    assert shown(f"- x{text(said)}"[2:]) == f"x{said}"
    assert "|" in code("a|b")


def test_a_fence_is_longer_than_any_within() -> None:
    assert fenced("````", "text") == "`````text\n````\n`````"
