"""Text from a loaded artifact: greedy decoding with its chat template, with rates and a check for NaN."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.generate import stream_generate

from hubbot.device import runtime
from hubbot.errors import SmokeFailed
from hubbot.memory import peak_resident_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One generated text; rates are tokens per second, `finite` says whether every logit was a number."""

    text: str
    tokens: int
    chat: bool
    finished: bool
    finite: bool
    prompt_tokens_per_second: float
    tokens_per_second: float


class Speaker:
    """An artifact loaded by stock mlx-lm, ready to be asked."""

    def __init__(self, folder: Path) -> None:
        try:
            loaded = runtime.load_to_speak(folder)
        except (ValueError, KeyError, OSError, RuntimeError, TypeError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise SmokeFailed(
                f"stock mlx-lm cannot load model and tokenizer: {reason}",
                where=str(folder),
                hint="`hubbot verify SOURCE ARTIFACT` says what is wrong with it",
            ) from error
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self.upcast = loaded.upcast
        self.device = runtime.describe()

    def say(self, prompt: str, *, max_tokens: int) -> Said:
        """Return what the model says to `prompt` under greedy decoding."""
        chat = getattr(self._tokenizer, "chat_template", None) is not None
        ids = self._ids(prompt, chat=chat)
        if not ids:
            raise SmokeFailed(
                f"its tokenizer makes nothing of {prompt!r}", hint="a published repo needs its tokenizer files"
            )
        finite = True
        text = ""
        last: Any = None

        def watch(_tokens: Any, logits: Any) -> Any:
            nonlocal finite
            finite = finite and bool(mx.all(mx.isfinite(logits)).item())
            return logits

        try:
            for last in stream_generate(
                self._model, self._tokenizer, prompt=ids, max_tokens=max_tokens, logits_processors=[watch]
            ):
                text += last.text
        except (ValueError, RuntimeError) as error:
            raise SmokeFailed(
                f"this device cannot run it: {error}",
                hint="smoke it on another machine; MLX's CPU lacks some modes",
            ) from error
        return Said(
            text=text,
            tokens=last.generation_tokens if last else 0,
            chat=chat,
            finished=bool(last and last.finish_reason == "stop"),
            finite=finite,
            prompt_tokens_per_second=last.prompt_tps if last else 0.0,
            tokens_per_second=last.generation_tps if last else 0.0,
        )

    def _ids(self, prompt: str, *, chat: bool) -> list[int]:
        if chat:
            messages = [{"role": "user", "content": prompt}]
            return list(
                self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
            )
        return list(self._tokenizer.encode(prompt))


def peak_memory_bytes() -> int:
    """Return this process's peak memory: of the GPU where there is one, else resident memory."""
    if mx.default_device() != mx.cpu:
        return int(mx.get_peak_memory())
    return peak_resident_bytes()
