"""One artifact in two runtimes: mlx-lm answers text, mlx-vlm text and pictures, as transformers does."""

from pathlib import Path

import numpy as np
import pytest

from hubbot.errors import StructureMismatch
from hubbot.runtime import loading, vision
from tests.checkpoints_on_disk import converted, look
from tests.reference import images

pytestmark = pytest.mark.skipif(vision.version() is None, reason="mlx-vlm is not installed (hubbot[vision])")


def relative(measured: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(measured - reference).max() / np.abs(reference).max())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model_type", images.TOLERANCES)
def test_both_runtimes_answer_text_alike_and_mlx_vlm_pictures_as_transformers_does(
    model_type: str, tmp_path: Path
) -> None:
    made = images.seeing(model_type)
    source = look(images.write(made, tmp_path / "source"))
    folder = converted(source, tmp_path / "out", "fp32")["fp32"]
    shown = images.picture(made)
    seeing = vision.load(folder)
    text = loading.logits(loading.load(folder), shown.text)
    assert relative(vision.logits(seeing, shown.text, {}), text) < 5e-6
    given = {name: value for name, value in shown.shown.items() if name not in shown.replaced} | dict(
        shown.known_as
    )
    answered = vision.logits(seeing, shown.ids, given)
    assert relative(answered, images.answer(model_type)) < images.TOLERANCES[model_type]


@pytest.mark.filterwarnings("ignore")
def test_a_quantized_artifact_sees_with_the_source_s_own_tower(tmp_path: Path) -> None:
    made = images.seeing("qwen3_5_moe")
    source = look(images.write(made, tmp_path / "source"))
    made_of = converted(source, tmp_path / "out", "fp32", "8bit")
    shown = images.picture(made)
    plain, eight = (vision.logits(vision.load(made_of[name]), shown.ids, shown.shown) for name in ("fp32", "8bit"))
    assert 1e-4 < relative(eight, plain) < 0.2


def test_a_repo_with_a_model_file_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen3_5_moe", "model_file": "evil.py"}')
    with pytest.raises(StructureMismatch, match="model_file"):
        vision.load(tmp_path)
