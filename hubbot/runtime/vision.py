"""The door to mlx-vlm, which runs what a model sees: is it installed, does it load a repo, what does it answer.

It is a runtime and never a judge of numbers: faults of its own are known. Without the extra `vision` it is absent.
"""

import importlib
import json
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from hubbot.errors import StructureMismatch


def version() -> str | None:
    """Return the installed mlx-vlm's version, or None where there is none."""
    try:
        return version_of("mlx-vlm")
    except PackageNotFoundError:
        return None


def load(folder: Path) -> Any:
    """Return the model that mlx-vlm loads strictly and lazily; mlx-vlm must be installed.

    Raises StructureMismatch where it refuses the repo, and for a repo with a model file, which mlx-vlm would run.
    """
    _refuse_model_file(folder)
    # Importing it takes seconds, and it is not everywhere.
    with warnings.catch_warnings(action="ignore"):
        loader = importlib.import_module("mlx_vlm.utils")
        try:
            return loader.load_model(folder, lazy=True, strict=True)
        except Exception as error:  # a repo's files can break loaders in any way
            told = " ".join(str(error).split())[:400] or type(error).__name__
            raise StructureMismatch(f"mlx-vlm refuses it: {told}", where=str(folder)) from error


def ask(folder: Path, picture: bytes, question: str, *, max_tokens: int) -> str:
    """Return what the model says of a picture, given as the bytes of a PNG; code of the repo is never run.

    Raises StructureMismatch where mlx-vlm cannot load the repo or show it a picture.
    """
    _refuse_model_file(folder)
    with warnings.catch_warnings(action="ignore"), tempfile.TemporaryDirectory(prefix="hubbot-") as name:
        shown = Path(name) / "picture.png"
        shown.write_bytes(picture)
        runtime = importlib.import_module("mlx_vlm")
        templates = importlib.import_module("mlx_vlm.prompt_utils")
        try:
            model, processor = runtime.load(str(folder), trust_remote_code=False)
            if mx.default_device() == mx.cpu:
                model.set_dtype(mx.float32)  # a CPU multiplies unquantized experts in float32 only
            prompt = templates.apply_chat_template(processor, model.config, question, num_images=1)
            said = runtime.generate(
                model, processor, prompt, image=[str(shown)], max_tokens=max_tokens, temperature=0.0, verbose=False
            )
        except Exception as error:  # a repo's files, and processors, can fail in any way
            told = " ".join(str(error).split())[:300] or type(error).__name__
            raise StructureMismatch(f"mlx-vlm shows it no picture: {told}", where=str(folder)) from error
    return str(getattr(said, "text", said))


def _refuse_model_file(folder: Path) -> None:
    if json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_file") is not None:
        raise StructureMismatch("mlx-vlm runs a repo's model_file without asking", where=str(folder))


def logits(
    model: Any, ids: npt.NDArray[np.int64], shown: Mapping[str, npt.NDArray[Any]]
) -> npt.NDArray[np.float32]:
    """Return float32 logits [tokens, vocabulary] for one sequence of token ids int64 [tokens].

    `shown` is by mlx-vlm's names what a processor makes of an image, `pixel_values` among them; empty for text.
    """
    taken = {name: mx.array(value) for name, value in shown.items() if name != "pixel_values"}
    pixels = mx.array(shown["pixel_values"]) if "pixel_values" in shown else None
    out = model(mx.array(ids)[None], pixel_values=pixels, mask=None, **taken).logits[0].astype(mx.float32)
    mx.eval(out)
    return np.array(out)
