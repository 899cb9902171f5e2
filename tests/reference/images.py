"""References that see: small pictures, the models they are shown to, and what transformers answers.

A model is the base case of its type with the ids of its image tokens inside the small vocabulary; MiniMax-M3's has
its projector as wide as the decoder, as the published one. The answers in `images/` are made by make_images.py.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.reference.checkpoints import Case, Floats, case, render

ANSWERS = Path(__file__).parent / "images"
# Relative errors of logits with an image that mlx-vlm 0.7.10 may have; faults of its own make the large ones.
TOLERANCES: Mapping[str, float] = {
    "qwen3_5_moe": 2e-5, "qwen3_vl_moe": 5e-4, "llama4": 6e-2, "gemma4": 1e-5, "minimax_m3_vl": 2e-5,
    "kimi_k25": 1e-3,
}  # fmt: skip
IMAGE, VIDEO, START, END = 90, 91, 92, 93
_TOKENS: Mapping[str, int] = {
    "image_token_id": IMAGE, "image_token_index": IMAGE, "video_token_id": VIDEO, "video_token_index": VIDEO,
    "vision_start_token_id": START, "vision_end_token_id": END,
}  # fmt: skip
SEED = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """What a model is shown: token ids int64 [tokens], and by name what transformers' model takes beside them.

    `text` are the ids without the picture. `known_as` are what mlx-vlm takes by other names, `replaced` the names
    that it does not take.
    """

    ids: NDArray[np.int64]
    text: NDArray[np.int64]
    shown: Mapping[str, NDArray[Any]]
    known_as: Mapping[str, NDArray[Any]]
    replaced: frozenset[str]


def seeing(model_type: str) -> Case:
    """The base case of a model type, ready to be shown a picture."""
    made = case(f"{model_type}/orig")
    record = copy.deepcopy(dict(made.record))
    config = record["forms"]["orig"]["config"]
    config |= {key: token for key, token in _TOKENS.items() if key in config}
    if "projector_hidden_size" in config:
        _widen_projector(record, config)
    return replace(made, record=record)


def write(made: Case, folder: Path) -> Path:
    """Write the files of a case that `seeing` returned into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in render(made.record, made.form).items():
        (folder / name).write_bytes(data)
    return folder


def answer(model_type: str) -> Floats:
    """Transformers' logits for the picture, float32 [tokens, vocabulary]."""
    with np.load(ANSWERS / f"{model_type}.npz") as stored:
        logits: Floats = stored["logits"]
    return logits


def picture(made: Case) -> Picture:
    """The picture of a case, with the tokens that stand for it among the case's first ones."""
    shown, known_as, tokens = _SHOWN[made.model_type](made.config["vision_config"])
    text = np.array([int(number) for number in made.ids[:10] if number < IMAGE], dtype=np.int64)
    marks = [[START], [END]] if "vision_start_token_id" in made.config else [[], []]
    ids = np.array([*text[:4], *marks[0], *[IMAGE] * tokens, *marks[1], *text[4:]], dtype=np.int64)
    kinds = (ids == IMAGE).astype(np.int64)[None]
    if made.model_type in _WITH_KINDS:
        shown = {**shown, "mm_token_type_ids": kinds}
    replaced = frozenset({"image_grid_thw"} if known_as else set())
    return Picture(ids=ids, text=text, shown=shown, known_as=known_as, replaced=replaced)


_WITH_KINDS = frozenset({"qwen3_5_moe", "qwen3_vl_moe", "gemma4"})
_Shown = tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]], int]


def _patches(vision: Mapping[str, Any]) -> _Shown:
    frames, size, merge = vision["temporal_patch_size"], vision["patch_size"], vision["spatial_merge_size"]
    pixels = _normal(24, 3 * frames * size * size)
    return {"pixel_values": pixels, "image_grid_thw": np.array([[1, 4, 6]])}, {}, 24 // merge**2


def _four_patches(vision: Mapping[str, Any]) -> _Shown:
    # So few that every block of tokens is attended to: where some are chosen mlx-vlm chooses others.
    pixels = _normal(4, 3 * vision["temporal_patch_size"] * vision["patch_size"] ** 2)
    return {"pixel_values": pixels, "image_grid_thw": np.array([[1, 2, 2]])}, {}, 1


def _whole(vision: Mapping[str, Any]) -> _Shown:
    side, size = vision["image_size"], vision["patch_size"]
    return (
        {"pixel_values": _normal(1, 3, side, side)},
        {},
        int((side // size * vision["pixel_shuffle_ratio"]) ** 2),
    )


def _places(vision: Mapping[str, Any]) -> _Shown:
    side = vision["pooling_kernel_size"]
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(1, side * side, 2)
    pixels = np.random.default_rng(SEED).random((1, side * side, 3 * vision["patch_size"] ** 2))
    return {"pixel_values": pixels.astype(np.float32), "image_position_ids": places}, {}, 1


def _squares(vision: Mapping[str, Any]) -> _Shown:
    size, high, wide = vision["patch_size"], vision["pos_emb_height"], vision["pos_emb_width"]
    # At the size that positions were made for: elsewhere mlx-vlm resamples them otherwise.
    shown = {"pixel_values": _normal(high * wide, 3, size, size), "image_grid_thw": np.array([[1, high, wide]])}
    # As mlx-vlm's processor counts them: an image has no frames.
    return shown, {"image_grid_hws": np.array([[high, wide]])}, high * wide // 4


_SHOWN = {
    "qwen3_5_moe": _patches, "qwen3_vl_moe": _patches, "minimax_m3_vl": _four_patches, "llama4": _whole,
    "gemma4": _places, "kimi_k25": _squares,
}  # fmt: skip


def _normal(*shape: int) -> Floats:
    return np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)


def _widen_projector(record: dict[str, Any], config: dict[str, Any]) -> None:
    """Give the projector the decoder's width, in the config and in its parameters."""
    wide, narrow = config["text_config"]["hidden_size"], config["projector_hidden_size"]
    config["projector_hidden_size"] = wide
    for name, spec in record["parameters"].items():
        if "multi_modal_projector" not in name or "linear_" not in name:
            continue
        first = name.rpartition(".")[0].endswith("_1")
        shape = spec["shape"]
        if first and shape[0] == narrow:
            shape[0] = wide
        elif not first and len(shape) > 1:
            shape[1] = wide
    # Tensors are cut from parameters of other sizes now, each from one and as a whole.
    views = record["layouts"]["orig"]
    views |= {name: {"from": view["from"]} for name, view in views.items() if "linear_" in str(view.get("from"))}
