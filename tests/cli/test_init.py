"""init: a settings file that says what it means, asked for step by step or given by options."""

import tomllib
from pathlib import Path

import pytest

from hubbot.settings import Settings
from tests.cli.conftest import Shell


def written(path: Path) -> Settings:
    return Settings.model_validate(tomllib.loads(path.read_text("utf-8")))


def test_by_options_it_asks_nothing_and_the_file_is_valid(hubbot: Shell, tmp_path: Path) -> None:
    file = tmp_path / "new" / "hubbot.toml"
    given = ("--org", "me", "-v", "4bit", "-v", "moe-4bit", "--watch", "Qwen", "--licence", "apache-2.0", "--yes")
    assert hubbot("init", "--out", str(file), *given).code == 0
    found = written(file)
    assert (found.org, found.variants, found.licences) == ("me", ("4bit", "moe-4bit"), ("apache-2.0",))
    assert [(rule.name, rule.authors) for rule in found.watch] == [("Qwen", ("Qwen",))]


def test_what_is_not_given_stands_there_as_a_comment_that_would_be_valid(hubbot: Shell, tmp_path: Path) -> None:
    file = tmp_path / "hubbot.toml"
    assert hubbot("init", "--out", str(file), "--json").json == {"file": str(file)}
    assert written(file).org is None
    lines = file.read_text("utf-8").splitlines()
    keys = [line.removeprefix("# ") for line in lines if line.startswith("# ") and (" = " in line or "[[" in line)]
    uncommented = Settings.model_validate(tomllib.loads("\n".join(keys)))
    assert (uncommented.org, uncommented.homepage) == ("my-org", "https://example.org/hubbot")
    assert uncommented.watch[0].authors == ("Qwen",)


def test_step_by_step_it_asks_for_what_no_option_says(
    hubbot: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hubbot.toml"
    asked: list[str] = []
    answers = iter(["8bit, 4bit", "Qwen deepseek-ai", "any"])

    def prompt(question: str, **how: object) -> str:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr("typer.prompt", prompt)
    assert hubbot("init", "--out", str(file), "--org", "me").code == 0
    assert len(asked) == 3
    found = written(file)
    assert (found.org, found.variants, found.licences) == ("me", ("8bit", "4bit"), ())
    assert [rule.name for rule in found.watch] == ["Qwen", "deepseek-ai"]


def test_a_file_that_is_there_is_kept_unless_forced_and_nonsense_is_not_written(
    hubbot: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "hubbot.toml"
    assert hubbot("init", "--out", str(file), "-v", "9bit", "--yes").code == 2
    assert not file.exists()
    file.write_text("mine")
    assert hubbot("init", "--out", str(file), "--yes").code == 2
    assert file.read_text() == "mine"
    assert hubbot("init", "--out", str(file), "--yes", "--force").code == 0
    assert written(file).org is None


def test_what_is_given_is_text_and_never_more(hubbot: Shell, tmp_path: Path) -> None:
    file = tmp_path / "hubbot.toml"
    evil = 'me"\nlicences = ["mit"]\n#'
    assert hubbot("init", "--out", str(file), "--org", evil, "--yes").code == 0
    assert (written(file).org, written(file).licences) == (evil, ())
