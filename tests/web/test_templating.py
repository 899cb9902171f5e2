"""Texts become pages: escaped whatever they hold, commands between backticks as code."""

import pytest

from hubbot.web.templating import with_code


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("then `hubbot retry 3`", "then <code>hubbot retry 3</code>"),
        ("`a` and `b`", "<code>a</code> and <code>b</code>"),
        ("<script>`x`</script>", "&lt;script&gt;<code>x</code>&lt;/script&gt;"),
        ("`<b onclick='y'>`", "<code>&lt;b onclick=&#39;y&#39;&gt;</code>"),
        ("one ` alone", "one ` alone"),
        ("``", "``"),
        ("`a\nb`", "`a\nb`"),
        ("`" + "x" * 201 + "`", "`" + "x" * 201 + "`"),
        (None, ""),
        (7, "7"),
    ],
)
def test_a_text_is_escaped_and_what_stands_between_backticks_is_code(text: object, shown: str) -> None:
    assert str(with_code(text)) == shown
