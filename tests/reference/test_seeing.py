"""Models that see, in every form of their experts: mlx-lm answers in text, and SEEING.md has them all."""

from pathlib import Path

import pytest

from hubbot.runtime import loading
from tests.checkpoints_on_disk import relative
from tests.reference import images, seeing_table


@pytest.mark.parametrize(("model_type", "form"), list(seeing_table.combinations()))
def test_the_artifact_of_every_form_answers_text_as_transformers_does(
    model_type: str, form: str, tmp_path: Path
) -> None:
    made = seeing_table.artifact(model_type, form, tmp_path)
    packing = images.FP8 if form.startswith("fp8") else images.PLAIN
    answered = loading.logits(loading.load(made), images.picture(images.seeing(model_type)).text)
    expected = images.answer(model_type, packing, images.TEXT)
    assert relative(answered, expected) < seeing_table.TEXT_TOLERANCE
    assert (made / "config.json").read_text().count('"vision_config"') == 1


def test_the_table_has_every_form_of_every_model() -> None:
    assert seeing_table.read(seeing_table.SEEING.read_text("utf-8")) == list(seeing_table.combinations())
