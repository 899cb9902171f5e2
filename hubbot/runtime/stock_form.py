"""Whether an artifact that carries a model file of hubbot's own would run on the installed mlx-lm's class as well.

It loads the artifact both ways and compares their logits; it changes nothing and never runs code of a repo.
"""

import gc
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx_lm.utils import load_model

from hubbot.errors import HubbotError, NoRuntime
from hubbot.runtime import loading

TOKENS = 64
# Both compute in float32 from the same weights; what is left is the order of additions.
TOLERANCE = 1e-4


def offer(folder: Path) -> str | None:
    """Return one sentence if mlx-lm's own class loads the artifact in `folder` strictly and answers alike.

    None where it carries no file of hubbot's own, mlx-lm has no class of its model type, or that one refuses the
    artifact or answers otherwise over 64 tokens. Raises StructureMismatch where hubbot's own form does not load.
    """
    name = loading.own_file(folder)
    if name is None:
        return None
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    plain = {key: value for key, value in config.items() if key != "model_file"}
    try:
        loading.effective_args(plain)
    except (NoRuntime, TypeError, ValueError, KeyError, AttributeError):
        return None
    ids = np.random.default_rng(0).integers(0, config["vocab_size"], TOKENS)
    own = _logits(loading.load(folder), ids)
    try:
        model, _ = load_model(folder, lazy=True, strict=True, model_config={"model_file": None})
        stock = _logits(model, ids)
    except HubbotError:
        raise
    except Exception:  # noqa: BLE001 - a class that was not made for these weights can break in any way
        return None
    error = float(np.abs(stock - own).max() / np.abs(own).max())
    # The comparison is turned so that a NaN fails it.
    if not error <= TOLERANCE:
        return None
    versions = loading.versions()
    return (
        f"mlx-lm {versions['mlx-lm']} has a class of its own for {loading.module_name(plain)} that loads this "
        f"artifact and answers alike over {TOKENS} tokens (largest difference {error:.0e}): once the family's row "
        f"names that class, it needs no {name}"
    )


def _logits(model: Any, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return float32 logits [tokens, vocabulary]; floats are widened first, for gather_mm on a CPU."""
    model.set_dtype(mx.float32)
    found = loading.logits(model, ids)
    del model
    gc.collect()
    mx.clear_cache()
    return found
