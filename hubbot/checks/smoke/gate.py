"""The smoke gate: judges what an artifact said; fatal faults refuse it, what is merely odd becomes a warning.

It never runs a model; the step lets the artifact speak.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hubbot.checks.smoke import expert_use, finding, text_detectors
from hubbot.checks.smoke.expert_use import LayerUse
from hubbot.checks.subject import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an artifact said to one prompt at a temperature (0: greedy); `finite` says that all logits were."""

    prompt: str
    temperature: float
    text: str
    tokens: int
    finished: bool
    finite: bool

    @property
    def question(self) -> str:
        """Return the prompt as a message quotes it."""
        return repr(self.prompt) + (f", at temperature {self.temperature}" if self.temperature else "")


def check_answer(answer: Answer) -> Outcome:
    """Return what one answer shows by itself; a failed finding says that the artifact does not speak."""
    found = list(
        text_detectors.problems(answer.text, prompt=answer.prompt, tokens=answer.tokens, finite=answer.finite)
    )
    fatal = [problem.what for problem in found if problem.fatal]
    return Outcome(
        findings=(
            finding.decided(
                "speaks", answer.question, answer.text[:80], "text", ok=not fatal,
                reason=fatal[0] if fatal else "it answers with text",
            ),
        ),
        warnings=tuple(f"{answer.question}: {problem.what}" for problem in found if not problem.fatal),
    )  # fmt: skip


def check(answers: Sequence[Answer], uses: Sequence[LayerUse], max_tokens: int) -> Outcome:
    """Return what all answers show together, and how the experts were used meanwhile."""
    outcomes = [check_answer(answer) for answer in answers]
    warnings = [warning for outcome in outcomes for warning in outcome.warnings]
    if not any(answer.finished for answer in answers):
        warnings.append(f"no answer ended within {max_tokens} tokens")
    if len({answer.text.strip() for answer in answers}) == 1:
        warnings.append("it says the same to every prompt")
    return Outcome(
        findings=tuple(found for outcome in outcomes for found in outcome.findings),
        warnings=(*warnings, *expert_use.warnings(uses)),
    )
