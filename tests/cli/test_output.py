"""Data on stdout, talk on stderr, nothing interpreted that came from outside."""

import json

import pytest

from hubbot.cli.output import print_error, print_json
from hubbot.errors import HubUnavailable


def test_json_is_one_document_in_plain_letters(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "Füchsin", "long": "x" * 500})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "Füchsin", "long": "x" * 500}
    assert "Füchsin" in out


def test_an_error_is_one_line_and_a_hint_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(HubUnavailable("m" * 300, where="[red]a/b[/red]", hint="h" * 300), as_json=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"HubUnavailable: {'m' * 300} ([red]a/b[/red])\n  -> {'h' * 300}\n"
