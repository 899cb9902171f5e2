from __future__ import annotations

from hubbot.devhub.page_rendering import card_html, card_rows, day_text


def test_times_read_as_day_and_minute() -> None:
    assert day_text("2026-11-20T18:13:05.000Z") == "2026-11-20 18:13 UTC"


def test_a_card_cannot_bring_its_own_html_or_script() -> None:
    page = card_html("<script>x</script> [a](javascript:alert(1)) ![b](data:text/html,x)", files="/f/")
    assert "<script" not in page
    assert "href=" not in page
    assert "src=" not in page


def test_relative_links_and_pictures_lead_to_the_repos_files() -> None:
    page = card_html(
        "![p](plots/kl.svg) [c](./config.json) [w](https://e.org/) [t](#top)", files="/a/b/resolve/s/"
    )
    assert 'src="/a/b/resolve/s/plots/kl.svg"' in page
    assert 'href="/a/b/resolve/s/config.json"' in page
    assert 'href="https://e.org/"' in page
    assert 'href="#top"' in page


def test_tables_are_tables() -> None:
    assert "<table>" in card_html("| a | b |\n|---|---|\n| 1 | 2 |\n", files="")


def test_metadata_become_rows() -> None:
    assert card_rows({"tags": ["a", "b"], "n": 1, "x": {"y": [2]}}) == [
        *(("tags", "a, b"), ("n", "1"), ("x", '{"y": [2]}'))
    ]
