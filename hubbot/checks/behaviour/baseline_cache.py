"""The unquantized model's logits on disk: computed once for a source and read back for every variant.

Logits are kept exactly while they are small, else as 16-bit steps between a token's smallest and largest, as
llama.cpp's base files do (an error of about 1e-7 in the divergence). It computes no logits.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
EXACT_BYTES = 256 << 20
STEPS = 65535
_META = "answers.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineWindow:
    """Logits [scored, vocabulary] of one window; `digest` is that of the exact ones, None where not finite."""

    logits: Floats
    digest: str


class Baseline:
    """The logits of one unquantized model on one text, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._meta: dict[str, Any] = json.loads((folder / _META).read_text(encoding="utf-8"))
        self.profile: Floats = np.load(folder / "profile.npy")

    @property
    def seconds(self) -> float:
        """Return how long the unquantized model took."""
        return float(self._meta["seconds"])

    def window(self, index: int) -> BaselineWindow:
        """Return the answer to one window."""
        logits = np.load(self._folder / f"logits-{index}.npy")
        if logits.dtype == np.uint16:
            low, step = np.load(self._folder / f"scale-{index}.npy")
            logits = low[:, None] + step[:, None] * logits.astype(np.float32)
        return BaselineWindow(logits=logits, digest=self._meta["digests"][index])


def find(store: Path, key: str) -> Baseline | None:
    """Return the answers that `store` keeps under `key`, or None."""
    return Baseline(store / key) if (store / key / _META).is_file() else None


class BaselineWriter:
    """Writes logits window by window; a baseline that is not finished leaves nothing under its key."""

    def __init__(self, store: Path, key: str, *, exact: bool) -> None:
        self._final = store / key
        self._folder = store / f".{key}.partial"
        self._exact = exact
        self._digests: list[str] = []
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)

    def write(self, logits: Floats) -> None:
        """Write the next window's logits [scored, vocabulary]."""
        index = len(self._digests)
        self._digests.append(digest(logits))
        if self._exact:
            np.save(self._folder / f"logits-{index}.npy", logits)
            return
        low = logits.min(axis=1)
        step = (logits.max(axis=1) - low) / np.float32(STEPS)
        codes = np.rint((logits - low[:, None]) / np.maximum(step, np.finfo(np.float32).tiny)[:, None])
        np.save(self._folder / f"logits-{index}.npy", codes.astype(np.uint16))
        np.save(self._folder / f"scale-{index}.npy", np.stack([low, step]))

    def close(self, profile: Floats, seconds: float) -> Baseline:
        """Finish with the hidden states [layers, positions, width], and return the answers."""
        np.save(self._folder / "profile.npy", profile)
        meta = {"digests": self._digests, "seconds": seconds}
        (self._folder / _META).write_text(json.dumps(meta), encoding="utf-8")
        shutil.rmtree(self._final, ignore_errors=True)
        self._folder.replace(self._final)
        return Baseline(self._final)


def digest(logits: Floats) -> str:
    """Return the sha256 of float32 logits [scored, vocabulary], bit for bit."""
    return hashlib.sha256(np.ascontiguousarray(logits).tobytes()).hexdigest()
