"""Let an artifact speak as its users will: stock mlx-lm, its own chat template, and detectors on what it says.

It runs in the calling process; jobs and CLI call it in a child with limits. It proves nothing about numbers.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hubbot.checks import speech
from hubbot.device import generation
from hubbot.errors import SmokeFailed

PROMPTS = ("Tell me a short story.", "Once upon a time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One prompt and what the artifact said to it; rates are tokens per second."""

    prompt: str
    chat: bool
    text: str
    tokens: int
    finished: bool
    prompt_tokens_per_second: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeRecord:
    """What a smoke test saw: samples, warnings, peak memory of the process in bytes, device."""

    samples: tuple[Sample, ...]
    warnings: tuple[str, ...]
    peak_memory_bytes: int
    upcast_to_float32: bool
    device: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def smoke(folder: Path, *, max_tokens: int) -> SmokeRecord:
    """Generate from every prompt and return the record, or raise SmokeFailed naming what is wrong."""
    speaker = generation.Speaker(folder)
    samples = []
    warnings: list[str] = []
    for prompt in PROMPTS:
        said = speaker.say(prompt, max_tokens=max_tokens)
        sample = Sample(
            prompt=prompt,
            chat=said.chat,
            text=said.text,
            tokens=said.tokens,
            finished=said.finished,
            prompt_tokens_per_second=round(said.prompt_tokens_per_second, 1),
            tokens_per_second=round(said.tokens_per_second, 1),
        )
        samples.append(sample)
        for problem in speech.problems(said.text, prompt=prompt, tokens=said.tokens, finite=said.finite):
            if problem.fatal:
                raise SmokeFailed(
                    f"asked {prompt!r}, {problem.what}: {said.text[:80]!r}",
                    where=str(folder),
                    hint="the artifact loads but does not speak; it is not published",
                )
            warnings.append(f"{prompt!r}: {problem.what}")
    if not any(sample.finished for sample in samples):
        warnings.append(f"no answer ended within {max_tokens} tokens")
    return SmokeRecord(
        samples=tuple(samples),
        warnings=tuple(warnings),
        peak_memory_bytes=generation.peak_memory_bytes(),
        upcast_to_float32=speaker.upcast,
        device=speaker.device,
    )
