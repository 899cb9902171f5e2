from typing import Any

from hubbot.checks.smoke.expert_use import LayerUse
from hubbot.checks.smoke.gate import Answer, check, check_answer


def answer(text: str, **changed: Any) -> Answer:
    given: dict[str, Any] = {"prompt": "Go on", "temperature": 0.0, "tokens": 9, "finished": True, "finite": True}
    return Answer(text=text, **{**given, **changed})


def test_an_answer_in_words_passes_without_a_warning() -> None:
    outcome = check_answer(answer("The fox went home and slept."))
    assert [finding.status for finding in outcome.findings] == ["pass"]
    assert outcome.warnings == ()


def test_nothing_said_is_a_failure_that_names_prompt_and_temperature() -> None:
    (finding,) = check_answer(answer("  ", temperature=0.7)).findings
    assert (finding.gate, finding.status, finding.reason) == ("smoke", "fail", "it says nothing")
    assert finding.subject == "'Go on', at temperature 0.7"


def test_a_loop_is_a_warning_and_no_failure() -> None:
    outcome = check_answer(answer("the fox " * 40))
    assert [finding.status for finding in outcome.findings] == ["pass"]
    assert "repeats" in outcome.warnings[0]


def test_what_only_all_answers_show_together_is_a_warning() -> None:
    same = [answer("Yes, it is.", finished=False), answer("Yes, it is.", prompt="Is it?", finished=False)]
    dead = LayerUse(layer="layers.0", tokens=100, counts=(200, 0, 100, 100))
    warnings = check(same, [dead], 16).warnings
    assert warnings[:2] == ("no answer ended within 16 tokens", "it says the same to every prompt")
    assert "1 of 4 experts were never chosen" in warnings[2]
