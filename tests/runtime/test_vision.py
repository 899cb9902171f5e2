"""One artifact in two runtimes: mlx-lm answers text, mlx-vlm text and pictures, as transformers does."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hubbot.errors import StructureMismatch
from hubbot.runtime import vision
from hubbot.steps.smoke import QUESTION, show_picture
from tests.checkpoints_on_disk import converted, look
from tests.reference import images, seeing_forms, seeing_table

pytestmark = pytest.mark.skipif(vision.version() is None, reason="mlx-vlm is not installed (hubbot[vision])")


def relative(measured: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs(measured - reference).max() / np.abs(reference).max())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", seeing_forms.FORMS)
@pytest.mark.parametrize("model_type", images.TOLERANCES)
def test_both_runtimes_answer_text_and_mlx_vlm_pictures_as_transformers_does(
    model_type: str, form: str, tmp_path: Path
) -> None:
    errors = seeing_table.errors(model_type, form, tmp_path)
    assert errors["mlx-lm, text"] < seeing_table.TEXT_TOLERANCE
    assert errors["mlx-vlm, text"] < seeing_table.TEXT_TOLERANCE
    for kind in images.KINDS:
        allowed = images.OTHER_SIZE if kind == images.OTHER else images.TOLERANCES
        assert errors[kind] < allowed.get(model_type, images.TOLERANCES[model_type]), kind


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


WORDS = ("What", "do", "you", "see", "?", "user", "assistant", "colours", "in", "this", "picture?")
SPECIAL = {
    "<|image_pad|>": images.IMAGE, "<|video_pad|>": images.VIDEO, "<|vision_start|>": images.START,
    "<|vision_end|>": images.END, "<|im_start|>": 94, "<|im_end|>": 95,
}  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {% for c in m.content %}{% if c.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif c.type == 'text' %} {{ c.text }} {% endif %}{% endfor %}"
    "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def with_a_processor(folder: Path) -> Path:
    """Add a tokenizer of single words and Qwen's image processor to a reference."""
    words = {f"w{number}": number for number in range(128)}
    for word, number in {**{word: number for number, word in enumerate(WORDS, 1)}, "<unk>": 0, **SPECIAL}.items():
        del words[f"w{number}"]
        words[word] = number
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    patches = {"patch_size": 2, "temporal_patch_size": 2, "merge_size": 2, "processor_class": "Qwen3VLProcessor"}
    size = {"shortest_edge": 64, "longest_edge": 256}
    for name, content in {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "unk_token": "<unk>",
            "image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "chat_template": TEMPLATE,
        },
        "preprocessor_config.json": {
            "image_processor_type": "Qwen2VLImageProcessorFast", "size": size, **patches,
            "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
        },
        "video_preprocessor_config.json": {
            "video_processor_type": "Qwen3VLVideoProcessor", "size": size, **patches
        },
    }.items():  # fmt: skip
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.filterwarnings("ignore")
def test_a_model_is_shown_a_picture_and_answers(tmp_path: Path) -> None:
    folder = with_a_processor(images.write(images.seeing("qwen3_5_moe"), tmp_path / "source"))
    artifact = converted(look(folder), tmp_path / "out", "bf16")["bf16"]
    told = show_picture(artifact, max_tokens=8)
    assert told["question"] == QUESTION
    assert told["with"] == f"mlx-vlm {vision.version()}"
    assert told["answer"]


@pytest.mark.filterwarnings("ignore")
def test_a_repo_without_a_processor_is_told_of_and_refused_nothing(tmp_path: Path) -> None:
    folder = images.write(images.seeing("qwen3_5_moe"), tmp_path / "source")
    artifact = converted(look(folder), tmp_path / "out", "bf16")["bf16"]
    assert "shows it no picture" in show_picture(artifact, max_tokens=8)["fault"]
