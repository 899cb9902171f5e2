"""Text from outside is text: on the terminal, in tables, in bars and in the log."""

import io
import logging

import pytest
from rich.console import Console

from hubbot.cli.log_lines import as_text
from hubbot.cli.output import Out, print_error, print_json, styled, table
from hubbot.errors import HubbotError
from hubbot.printable import printable

HOSTILE = "..[/red][bold]x\x1b[2J\x07\x9b31m\u202e\u2028\ud800\r\nFAKE LOG LINE :smile:"
SHOWN = "..[/red][bold]x\\x1b[2J\\x07\\x9b31m\\u202e\\u2028\\ud800\\r\\nFAKE LOG LINE :smile:"


def written(*parts: object, **how: bool) -> str:
    file = io.StringIO()
    Out(Console(file=file, width=400, force_terminal=False)).print(*parts, **how)  # type: ignore[arg-type]
    return file.getvalue()


def test_a_line_shows_markup_and_control_characters_as_they_are() -> None:
    assert written(HOSTILE) == f"{SHOWN}\n"
    assert written(styled("bold", HOSTILE)) == f"{SHOWN}\n"


def test_a_table_shows_them_in_every_place() -> None:
    rows = table(HOSTILE, "column [/red]")
    rows.add_row(HOSTILE)
    shown = written(rows)
    assert shown.count(SHOWN) == 2
    assert "column [/red]" in shown
    assert "\x1b" not in shown


def test_an_error_and_its_json_hold_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(HubbotError(HOSTILE, where=HOSTILE, hint=HOSTILE), as_json=True)
    said = capsys.readouterr()
    assert not {"\x1b", "\x07", "\x9b", "\ud800"} & set(said.out + said.err)
    assert len(said.err.splitlines()) == 2
    print_json({"text": "\x9b31m"})
    assert capsys.readouterr().out == '{\n  "text": "\\u009b31m"\n}\n'


def test_what_a_model_says_keeps_its_lines() -> None:
    assert written("one\n\ttwo\x1b[2J", lines=True) == "one\n        two\\x1b[2J\n"


def test_no_text_from_outside_begins_a_line_of_the_log() -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "job %s", ("a\n2026 FAKE\x1b[2J",), None)
    assert as_text(record)
    assert record.getMessage() == "job a\n    | 2026 FAKE\\x1b[2J"


def test_ordinary_text_of_any_script_stays_as_it_is() -> None:
    text = "Füchsin 狐 🦊 العربية [x]"
    assert printable(text) == text
