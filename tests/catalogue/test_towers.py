"""Rows of towers: what configs that are published say of them, and which tensors they take."""

from typing import Any

import pytest

from hubbot.catalogue import resolution, runtimes
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.catalogue.reshapes import Reshaped
from hubbot.catalogue.towers import KeptTower, Tower, kept_tower
from hubbot.checkpoints import TensorInfo
from hubbot.moves import CHANNELS_LAST
from tests.reference.checkpoints import case

SEEING = sorted(name for name, row in BY_MODEL_TYPE.items() if isinstance(row.tower, Tower))
QWEN = Tower(renames=((r"^model\.visual\.", "vision_tower."),), convolutions=r"vision_tower\.proj\.weight")


def kept(
    tower: Tower | str | None, *, name: str = "model.visual.x", dtype: str = "BF16", **more: Any
) -> KeptTower:
    said: dict[str, Any] = {"config": {"vision_config": {}}, "packed": (), "text_only": False} | more
    tensors = {name: TensorInfo(name=name, dtype=dtype, shape=(2, 2), shard="w", start=0, end=8)}
    return kept_tower([name], said["config"], tensors, said["packed"], tower, text_only=said["text_only"])


def test_the_rows_that_see() -> None:
    assert SEEING == ["gemma4", "kimi_k25", "llama4", "minimax_m3_vl", "qwen3_5_moe", "qwen3_vl_moe"]


@pytest.mark.parametrize("model_type", SEEING)
def test_keeping_the_tower_puts_nothing_in_the_way_of_the_text(model_type: str) -> None:
    family, config = BY_MODEL_TYPE[model_type], case(f"{model_type}/orig").config
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None
    text, both = (resolution.resolve(config, family, fields, sees=sees) for sees in (False, True))
    assert (text.problems, both.problems) == ((), ())
    assert "vision_config" not in text.config
    assert (
        both.config["vision_config"].items()
        >= {key: value for key, value in config["vision_config"].items() if key != "model_type"}.items()
    )
    assert [origin.field for origin in both.origins] == [origin.field for origin in text.origins]


@pytest.mark.parametrize(
    ("model_type", "section"), [("qwen3_vl_moe", [24, 20, 20]), ("qwen3_5_moe", [11, 11, 10])]
)
def test_a_config_without_sections_has_transformers_own(model_type: str, section: list[int]) -> None:
    tower = BY_MODEL_TYPE[model_type].tower
    assert isinstance(tower, Tower)
    told = tower.text({"text_config": {"rope_theta": 5000000}, "vision_config": {}})
    assert {part["mrope_section"] == section for part in told.values()} == {True}
    assert {part["type"] for part in told.values()} == {"default"}


def test_a_convolution_turns_and_everything_else_is_only_renamed() -> None:
    assert kept(QWEN).parts["model.visual.x"].view == ()
    turned: Reshaped = kept(QWEN, name="model.visual.proj.weight").parts["model.visual.proj.weight"]
    assert (turned.output, turned.view) == ("vision_tower.proj.weight", (CHANNELS_LAST,))


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"text_only": True}, "asked for"),
        ({"config": {}}, "no vision_config"),
        ({"name": "model.other.x"}, "has no place for model.other.x"),
        ({"dtype": "F8_E4M3"}, "16 or 32 bit"),
        ({"packed": ("model.visual.x",)}, "16 or 32 bit"),
    ],
)
def test_a_tower_is_kept_whole_or_not_at_all(told: dict[str, Any], why: str) -> None:
    found = kept(QWEN, **told)
    assert (found.is_kept, why in str(found.reason)) == (False, True)


def test_a_row_says_why_it_keeps_none() -> None:
    assert kept("the classes differ").reason == "the classes differ"
    assert "mlx-vlm loads no repo" in str(kept(None).reason)
    assert kept_tower([], {}, {}, (), None, text_only=True) == KeptTower()
