"""References that see: small pictures, the models they are shown to, and what transformers answers.

A model is the base case of its type with the ids of its image tokens inside the small vocabulary; MiniMax-M3's has
its projector as wide as the decoder, as the published one. The answers in `images/` are made by make_images.py.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.reference.checkpoints import Case, Floats, case, render

ANSWERS = Path(__file__).parent / "images"
# Relative errors of logits with pictures that mlx-vlm 0.7.10 may have; faults of its own make the large ones.
TOLERANCES: Mapping[str, float] = {
    "qwen3_5_moe": 2e-5, "qwen3_vl_moe": 5e-4, "llama4": 6e-2, "gemma4": 1e-5, "minimax_m3_vl": 2e-5,
    "kimi_k25": 1e-3,
}  # fmt: skip
# Of pictures whose size is not that of Kimi's positions, which mlx-vlm resamples otherwise.
OTHER_SIZE: Mapping[str, float] = {"kimi_k25": 2e-1}
IMAGE, VIDEO, START, END = 90, 91, 92, 93
_TOKENS: Mapping[str, int] = {
    "image_token_id": IMAGE, "image_token_index": IMAGE, "video_token_id": VIDEO, "video_token_index": VIDEO,
    "vision_start_token_id": START, "vision_end_token_id": END,
}  # fmt: skip
SEED = 3
TEXT = "text"
PLAIN, FP8 = "plain", "fp8"
# One picture, one of other proportions, and two in one prompt.
KINDS = ONE, OTHER, TWO = ("one picture", "another size", "two pictures")


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
    if "position_embedding_size" in config["vision_config"]:
        _add_positions(record, config)
    return replace(made, record=record)


def write(made: Case, folder: Path) -> Path:
    """Write the files of a case that `seeing` returned into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in render(made.record, made.form).items():
        (folder / name).write_bytes(data)
    return folder


def answer(model_type: str, packing: str = PLAIN, asked: str = ONE) -> Floats:
    """Transformers' logits, float32 [tokens, vocabulary], of PLAIN or FP8 values, for one of KINDS or for TEXT."""
    with np.load(ANSWERS / f"{model_type}.npz") as stored:
        logits: Floats = stored[f"{packing}.{asked}"]
    return logits


def picture(made: Case, kind: str = ONE, seed: int = SEED) -> Picture:
    """What the case's model is shown, one of KINDS, among the first tokens of the case."""
    sizes = _SIZES[made.model_type][KINDS.index(kind)](made.config["vision_config"])
    shown, known_as, counts = _SHOWN[made.model_type](made.config["vision_config"], sizes, seed)
    text = np.array([int(number) for number in made.ids[:10] if number < IMAGE], dtype=np.int64)
    marks = [[START], [END]] if "vision_start_token_id" in made.config else [[], []]
    shown_first = [token for count in counts for token in (*marks[0], *[IMAGE] * count, *marks[1], text[0])][:-1]
    text_of = text[:-2] if kind == TWO else text
    ids = np.array([*text_of[:4], *shown_first, *text_of[4:]], dtype=np.int64)
    if made.model_type in _WITH_KINDS:
        shown = {**shown, "mm_token_type_ids": (ids == IMAGE).astype(np.int64)[None]}
    replaced = frozenset({"image_grid_thw"} if known_as else set())
    return Picture(ids=ids, text=text, shown=shown, known_as=known_as, replaced=replaced)


_WITH_KINDS = frozenset({"qwen3_5_moe", "qwen3_vl_moe", "gemma4"})
# Per image rows and columns of patches; of Llama 4 the tiles.
_Sizes = tuple[tuple[int, int], ...]
_Shown = tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]], list[int]]


def _patches(vision: Mapping[str, Any], sizes: _Sizes, seed: int) -> _Shown:
    pixels = _normal(
        seed,
        sum(high * wide for high, wide in sizes),
        3 * vision["temporal_patch_size"] * vision["patch_size"] ** 2,
    )
    grid = np.array([[1, high, wide] for high, wide in sizes])
    merged = vision.get("spatial_merge_size", 2) ** 2
    return {"pixel_values": pixels, "image_grid_thw": grid}, {}, [high * wide // merged for high, wide in sizes]


def _tiles(vision: Mapping[str, Any], sizes: _Sizes, seed: int) -> _Shown:
    side, size = vision["image_size"], vision["patch_size"]
    pixels = _normal(seed, sum(high * wide for high, wide in sizes), 3, side, side)
    each = int((side // size * vision["pixel_shuffle_ratio"]) ** 2)
    return {"pixel_values": pixels}, {}, [high * wide * each for high, wide in sizes]


def _places(vision: Mapping[str, Any], sizes: _Sizes, seed: int) -> _Shown:
    most = max(high * wide for high, wide in sizes)
    places = np.full((len(sizes), most, 2), -1)
    pixels = np.zeros((len(sizes), most, 3 * vision["patch_size"] ** 2), np.float32)
    for number, (high, wide) in enumerate(sizes):
        places[number, : high * wide] = np.stack(np.meshgrid(np.arange(wide), np.arange(high)), -1).reshape(-1, 2)
        drawn = np.random.default_rng(seed + number).random((high * wide, pixels.shape[-1]))
        pixels[number, : high * wide] = drawn
    pooled = vision["pooling_kernel_size"] ** 2
    return (
        {"pixel_values": pixels, "image_position_ids": places},
        {},
        [high * wide // pooled for high, wide in sizes],
    )


def _squares(vision: Mapping[str, Any], sizes: _Sizes, seed: int) -> _Shown:
    size, grid = vision["patch_size"], [[high, wide] for high, wide in sizes]
    shown = {
        "pixel_values": _normal(seed, sum(high * wide for high, wide in sizes), 3, size, size),
        "image_grid_thw": np.array([[1, *one] for one in grid]),
    }
    # As mlx-vlm's processor counts them: an image has no frames.
    return shown, {"image_grid_hws": np.array(grid)}, [high * wide // 4 for high, wide in sizes]


_SHOWN = {
    "qwen3_5_moe": _patches, "qwen3_vl_moe": _patches, "minimax_m3_vl": _patches, "llama4": _tiles,
    "gemma4": _places, "kimi_k25": _squares,
}  # fmt: skip
_Kind = Callable[[Mapping[str, Any]], _Sizes]


def _of(*sizes: tuple[int, int]) -> _Kind:
    return lambda _vision: sizes


def _pooled(*sizes: tuple[int, int]) -> _Kind:
    return lambda vision: tuple(
        (high * vision["pooling_kernel_size"], wide * vision["pooling_kernel_size"]) for high, wide in sizes
    )


def _at_home(vision: Mapping[str, Any]) -> _Sizes:
    return ((vision["pos_emb_height"], vision["pos_emb_width"]),)


# By model type the sizes of ONE, OTHER and TWO.
_SIZES: Mapping[str, tuple[_Kind, _Kind, _Kind]] = {
    "qwen3_5_moe": (_of((4, 6)), _of((8, 2)), _of((4, 6), (2, 4))),
    "qwen3_vl_moe": (_of((4, 6)), _of((8, 2)), _of((4, 6), (2, 4))),
    # So few that every block of tokens is attended to: where some are chosen mlx-vlm chooses others.
    "minimax_m3_vl": (_of((2, 2)), _of((4, 2)), _of((2, 2), (2, 2))),
    "llama4": (_of((1, 1)), _of((1, 2)), _of((1, 1), (1, 1))),
    "gemma4": (_pooled((1, 1)), _pooled((2, 1)), _pooled((1, 1), (1, 2))),
    # At the size that positions were made for: elsewhere mlx-vlm resamples them otherwise, as OTHER shows.
    "kimi_k25": (_at_home, _of((2, 6)), lambda vision: _at_home(vision) * 2),
}


def _normal(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _add_positions(record: dict[str, Any], config: dict[str, Any]) -> None:
    """Give the tower positions enough for pictures of several patches a side."""
    config["vision_config"]["position_embedding_size"] = 12
    for name, spec in record["parameters"].items():
        if name.endswith("position_embedding_table"):
            spec["shape"][1] = 12


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
