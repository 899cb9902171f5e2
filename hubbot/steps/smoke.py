"""Generate text as users will, with stock mlx-lm and the chat template, and look for faults in the text.

It runs in the calling process; jobs and CLI call it in a child with limits. It proves nothing about numbers.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hubbot import plain_json
from hubbot.catalogue.towers import VISION
from hubbot.checks.smoke import gate
from hubbot.checks.smoke.expert_use import LayerUse
from hubbot.checks.smoke.gate import Answer
from hubbot.engine.memory import peak_resident_bytes
from hubbot.errors import HubbotError, SmokeFailed
from hubbot.finishing import CONFIG
from hubbot.runtime import generation, vision

# The last one asks for an answer that ends soon.
PROMPTS = ("Tell me a short story.", "Once upon a time", "Answer with one word: is water wet?")
TEMPERATURE = 0.7
SEED = 20_26
QUESTION = "What colours do you see in this picture?"
SIDE = 448


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One prompt and what the artifact said to it; rates are tokens per second, `temperature` 0 is greedy."""

    prompt: str
    chat: bool
    temperature: float
    text: str
    tokens: int
    finished: bool
    first_token_seconds: float
    prompt_tokens_per_second: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeRecord:
    """The result of a smoke test: samples, warnings, peak memory in bytes, device.

    `picture` says what was asked of a picture, and the answer or why there is none; empty for a model of text.
    `kind` is "instruct" where there is a chat template, else "base"; `utilisation` says how often each expert of
    each layer was chosen; `seed` is that of the sampled texts.
    """

    samples: tuple[Sample, ...]
    warnings: tuple[str, ...]
    kind: str
    seed: int
    utilisation: tuple[LayerUse, ...]
    peak_memory_bytes: int
    upcast_to_float32: bool
    device: dict[str, str]
    picture: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def smoke(folder: Path, *, max_tokens: int, group: Any = None) -> SmokeRecord:
    """Generate from every prompt, greedy and sampled; raises SmokeFailed, which names prompt and fault.

    With a `group` of processes each computes its part, and all return the same texts.
    """
    generation.forget_peak_gpu_bytes()
    speaker = generation.Speaker(folder, group)
    samples: list[Sample] = []
    answers: list[Answer] = []
    for prompt, temperature in _tries():
        said = speaker.say(prompt, max_tokens=max_tokens, temperature=temperature, seed=SEED)
        samples.append(_sample(prompt, temperature, said))
        answers.append(_answer(prompt, temperature, said))
        _refuse(answers[-1], folder)
    uses = tuple(
        LayerUse(layer=layer, tokens=speaker.uses.tokens[layer], counts=tuple(int(count) for count in counts))
        for layer, counts in speaker.uses.counts.items()
    )
    record = SmokeRecord(
        samples=tuple(samples),
        warnings=gate.check(answers, uses, max_tokens).warnings,
        kind="instruct" if speaker.has_chat_template else "base",
        seed=SEED,
        utilisation=uses,
        peak_memory_bytes=generation.peak_gpu_bytes() or peak_resident_bytes(),
        upcast_to_float32=speaker.upcast,
        device=speaker.device,
    )
    del speaker  # before another runtime loads the same weights
    # mlx-vlm loads a model as a whole.
    picture = show_picture(folder, max_tokens=max_tokens) if group is None else {}
    faults = (f"it is shown no picture: {picture['fault']}",) if "fault" in picture else ()
    return replace(record, picture=picture, warnings=(*record.warnings, *faults))


def show_picture(folder: Path, *, max_tokens: int) -> dict[str, str]:
    """Return the question about a picture with the answer, or with `not_run` or `fault` saying why there is none.

    It is empty for an artifact without a tower. mlx-vlm has faults of its own: what it says refuses nothing.
    """
    config = plain_json.loads((folder / CONFIG).read_bytes())
    if not isinstance(config, dict) or not config.get(VISION):
        return {}
    if vision.version() is None:
        return {"question": QUESTION, "not_run": "mlx-vlm is not installed (hubbot[vision])"}
    try:
        answer = vision.ask(folder, two_colours(), QUESTION, max_tokens=max_tokens)
    except HubbotError as error:
        return {"question": QUESTION, "fault": error.message}
    return {"question": QUESTION, "answer": answer, "with": f"mlx-vlm {vision.version()}"}


def two_colours() -> bytes:
    """Return a PNG of 448 x 448 pixels, red on the left and blue on the right."""
    half = SIDE // 2
    line = b"\0" + b"\xd0\x20\x20" * half + b"\x20\x20\xd0" * half
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(line * SIDE)),
        (b"IEND", b""),
    )
    made = b""
    for kind, data in chunks:
        made += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + made


def _refuse(answer: Answer, folder: Path) -> None:
    """Raise SmokeFailed where the gate refuses an answer: the first such ends the test."""
    for found in gate.check_answer(answer).findings:
        if found.status == "fail":
            raise SmokeFailed(
                f"asked {found.subject}, {found.reason}: {found.measured!r}",
                where=str(folder),
                hint="the artifact loads but does not speak; it is not published",
            )


def _tries() -> Iterator[tuple[str, float]]:
    for prompt in PROMPTS:
        yield prompt, 0.0
    yield PROMPTS[0], TEMPERATURE


def _sample(prompt: str, temperature: float, said: generation.Said) -> Sample:
    return Sample(
        prompt=prompt,
        chat=said.chat,
        temperature=temperature,
        text=said.text,
        tokens=said.tokens,
        finished=said.finished,
        first_token_seconds=round(said.first_token_seconds, 3),
        prompt_tokens_per_second=round(said.prompt_tokens_per_second, 1),
        tokens_per_second=round(said.tokens_per_second, 1),
    )


def _answer(prompt: str, temperature: float, said: generation.Said) -> Answer:
    return Answer(
        prompt=prompt, temperature=temperature, text=said.text, tokens=said.tokens, finished=said.finished,
        finite=said.finite,
    )  # fmt: skip
