"""Generate text with an artifact, greedy or sampled, with its chat template; measure rates and look for NaN."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.generate import stream_generate
from mlx_lm.sample_utils import make_sampler

from hubbot.errors import SmokeFailed
from hubbot.runtime import loading
from hubbot.runtime.expert_hooks import ExpertCounts, counting

TOP_P = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One generated text; rates are tokens per second, `finite` says whether every logit was a number."""

    text: str
    tokens: int
    prompt_tokens: int
    chat: bool
    finished: bool
    finite: bool
    first_token_seconds: float
    prompt_tokens_per_second: float
    tokens_per_second: float


class Speaker:
    """An artifact loaded by stock mlx-lm; `uses` counts the experts that it chooses while it generates.

    With a `group` of processes it is this process's part. Raises SmokeFailed where mlx-lm cannot load model and
    tokenizer, or divide the model.
    """

    def __init__(self, folder: Path, group: Any = None) -> None:
        try:
            loaded = loading.load_to_speak(folder, group)
        except (ValueError, KeyError, OSError, RuntimeError, TypeError, AttributeError) as error:
            reason, names = loading.refusal(error)
            raise SmokeFailed(
                f"stock mlx-lm cannot load model and tokenizer: {reason}",
                where=str(folder),
                hint="`hubbot verify SOURCE ARTIFACT` says what is wrong with it",
                names={"parameters": names},
            ) from error
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self.upcast = loaded.upcast
        self.device = loading.describe()
        self.uses = ExpertCounts()

    @property
    def has_chat_template(self) -> bool:
        """Say whether the tokenizer has a chat template; without one the model only continues texts."""
        return getattr(self._tokenizer, "chat_template", None) is not None

    def say(self, prompt: str, *, max_tokens: int, temperature: float, seed: int) -> Said:
        """Return what the model generates for `prompt`; a temperature of 0 is greedy decoding.

        Raises SmokeFailed where the tokenizer gives no tokens or the device cannot run the model.
        """
        chat = self.has_chat_template
        ids = self._ids(prompt, chat=chat)
        if not ids:
            raise SmokeFailed(
                f"its tokenizer makes nothing of {prompt!r}", hint="a published repo needs its tokenizer files"
            )
        mx.random.seed(seed)
        numbers = _Numbers()
        try:
            with counting(self._model, self.uses):
                text, last = self._generate(ids, max_tokens, temperature, numbers)
        except (ValueError, RuntimeError) as error:
            raise SmokeFailed(
                f"this device cannot run it: {error}",
                hint="smoke it on another machine; MLX's CPU lacks some modes",
            ) from error
        prompt_rate = float(last.prompt_tps) if last else 0.0
        return Said(
            text=text,
            tokens=last.generation_tokens if last else 0,
            prompt_tokens=len(ids),
            chat=chat,
            finished=bool(last and last.finish_reason == "stop"),
            finite=numbers.finite,
            # stream_generate's rate of the prompt is measured up to the first token.
            first_token_seconds=len(ids) / prompt_rate if prompt_rate else 0.0,
            prompt_tokens_per_second=prompt_rate,
            tokens_per_second=float(last.generation_tps) if last else 0.0,
        )

    def _generate(
        self, ids: list[int], max_tokens: int, temperature: float, numbers: "_Numbers"
    ) -> tuple[str, Any]:
        text, last = "", None
        for last in stream_generate(
            self._model,
            self._tokenizer,
            prompt=ids,
            max_tokens=max_tokens,
            sampler=make_sampler(temp=temperature, top_p=TOP_P),
            logits_processors=[numbers.watch],
        ):
            text += last.text
        return text, last

    def _ids(self, prompt: str, *, chat: bool) -> list[int]:
        if chat:
            messages = [{"role": "user", "content": prompt}]
            return list(
                self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
            )
        return list(self._tokenizer.encode(prompt))


class _Numbers:
    """Whether all logits so far were numbers; checked asynchronously, so that generation does not wait."""

    def __init__(self) -> None:
        self._all = mx.array(True)

    def watch(self, _tokens: Any, logits: Any) -> Any:
        self._all = mx.logical_and(self._all, mx.all(mx.isfinite(logits)))
        mx.async_eval(self._all)  # type: ignore[no-untyped-call]
        return logits

    @property
    def finite(self) -> bool:
        return bool(self._all.item())


def forget_peak_gpu_bytes() -> None:
    """Let the peak begin anew: earlier stages of a process that lives on may have taken more of the GPU."""
    mx.reset_peak_memory()


def peak_gpu_bytes() -> int | None:
    """Return the bytes that MLX took at most of the GPU since `forget_peak_gpu_bytes`; None on a CPU."""
    return int(mx.get_peak_memory()) if mx.default_device() != mx.cpu else None
