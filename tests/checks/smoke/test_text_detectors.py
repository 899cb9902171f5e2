import pytest

from hubbot.checks.smoke.text_detectors import problems


def found(text: str, *, prompt: str = "Tell me", tokens: int = 9, finite: bool = True) -> list[tuple[str, bool]]:
    return [(item.what, item.fatal) for item in problems(text, prompt=prompt, tokens=tokens, finite=finite)]


@pytest.mark.parametrize(
    "text", ["The fox ran.", "狐狸跑了。\n第二行", "naïve café \t ok", "!", "🦊 said the fox"]
)
def test_text_is_fine_in_any_language(text: str) -> None:
    assert found(text) == []


def test_logits_that_are_no_numbers_are_fatal_whatever_was_said() -> None:
    assert found("The fox ran.", finite=False) == [("the logits hold NaN or infinity", True)]


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("x", 0), (" \n ", 5)])
def test_saying_nothing_is_fatal(text: str, tokens: int) -> None:
    assert found(text, tokens=tokens) == [("it says nothing", True)]


@pytest.mark.parametrize(
    ("text", "fatal"), [("ab\ufffd\ufffd", True), ("\x00\x01abc", True), ("a" * 20 + "\ufffd", False)]
)
def test_many_characters_that_are_no_text_are_fatal_and_a_few_are_not(text: str, fatal: bool) -> None:
    assert any(is_fatal and "no text" in what for what, is_fatal in found(text)) is fatal


@pytest.mark.parametrize("unit", ["ha", "the fox ran", "a b c d e f g h"])
def test_a_loop_until_the_end_is_a_warning_that_quotes_it(unit: str) -> None:
    assert found("So it began: " + " ".join([unit] * 8)) == [(f"it repeats {unit!r} until the end", False)]


def test_a_phrase_that_comes_back_a_few_times_is_no_loop() -> None:
    assert found("ha ha ha ha ha ha ha") == []
    assert found("ha " * 8 + "and then it stopped.") == []


@pytest.mark.parametrize("text", ["So" + "-fore" * 12, "Once " + "a" * 60, "\u5f88\u591a" * 30])
def test_a_loop_without_spaces_is_a_warning_too(text: str) -> None:
    assert [what.startswith("it repeats") for what, _ in found(text)] == [True]


@pytest.mark.parametrize("text", ["And then ...........", "Title\n--------\nThe fox", "no no no no"])
def test_a_row_of_dots_or_dashes_is_no_loop(text: str) -> None:
    assert found(text) == []


def test_a_prompt_said_over_and_over_is_an_echo_and_an_answer_that_begins_with_it_is_not() -> None:
    assert [what for what, _ in found("Tell me Tell me Tell me more")] == ["it only says the prompt back"]
    assert found("Tell me why the fox ran away.") == []


def test_a_parrot_is_a_warning() -> None:
    assert found("Tell me ") == [("it only says the prompt back", False)]
