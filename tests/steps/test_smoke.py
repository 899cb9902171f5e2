import json
import shutil
import struct
import zlib
from pathlib import Path

import mlx.core as mx
import pytest

from hubbot.errors import SmokeFailed
from hubbot.runtime import vision
from hubbot.steps.smoke import PROMPTS, QUESTION, show_picture, smoke, two_colours
from tests.checkpoints_on_disk import Workshop, converted, look, rewrite
from tests.sabotage.bench import Broken

SPEAKER = Path(__file__).parents[2] / "hubbot" / "devhub" / "demo_models" / "owl"


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return converted(look(SPEAKER), tmp_path_factory.mktemp("smoke"), "bf16", "8bit")


@pytest.mark.parametrize("variant", ["bf16", "8bit"])
def test_a_trained_speaker_answers_every_prompt_in_text(variant: str, spoken: dict[str, Path]) -> None:
    record = smoke(spoken[variant], max_tokens=12)
    assert [(sample.prompt, sample.temperature > 0) for sample in record.samples] == [
        *((prompt, False) for prompt in PROMPTS),
        (PROMPTS[0], True),
    ]
    assert all(sample.first_token_seconds >= 0 for sample in record.samples)
    assert record.kind in {"instruct", "base"}
    assert all(sample.text.strip() and 0 < sample.tokens <= 12 for sample in record.samples)
    assert record.peak_memory_bytes > 1 << 20
    assert record.device["device"] in {"CPU", "GPU"}
    assert record.to_json()["samples"][0]["tokens_per_second"] > 0


def test_every_expert_layer_is_counted_token_by_token(spoken: dict[str, Path]) -> None:
    record = smoke(spoken["8bit"], max_tokens=8)
    config = json.loads((spoken["8bit"] / "config.json").read_text())
    assert len(record.utilisation) == config["num_hidden_layers"]
    for use in record.utilisation:
        assert len(use.counts) == config["num_local_experts"]
        assert sum(use.counts) == use.tokens * config["num_experts_per_tok"]
        assert use.tokens > sum(sample.tokens for sample in record.samples)


def test_a_router_that_always_chooses_the_same_is_told(spoken: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "stuck"
    shutil.copytree(spoken["bf16"], folder)
    broken = Broken.of(folder)
    # With no numbers to go by, every token takes the same experts.
    broken.tensors["model.layers.1.block_sparse_moe.gate.weight"][1][:] = 0
    rewrite(folder, broken.tensors)
    record = smoke(folder, max_tokens=40)
    assert any("layers.1" in warning and "collapsed" in warning for warning in record.warnings)


def test_a_speaker_whose_logits_are_no_numbers_fails(spoken: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for path in spoken["bf16"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    broken = Broken.of(folder)
    broken.tensors["model.norm.weight"][1][:] = 0x7FC0
    rewrite(folder, broken.tensors)
    with pytest.raises(SmokeFailed, match="NaN"):
        smoke(folder, max_tokens=4)


def test_an_artifact_without_a_tokenizer_fails_and_the_hint_says_so(workshop: Workshop) -> None:
    with pytest.raises(SmokeFailed) as caught:
        smoke(workshop.artifact("qwen3_moe/hub", "bf16"), max_tokens=4)
    assert "tokenizer" in str(caught.value.hint)


@pytest.mark.skipif(mx.default_device() != mx.cpu, reason="a GPU multiplies with nvfp4's tensor scale")
def test_an_artifact_that_this_device_cannot_run_fails_in_words(tmp_path: Path) -> None:
    with pytest.raises(SmokeFailed):
        smoke(converted(look(SPEAKER), tmp_path, "nvfp4")["nvfp4"], max_tokens=4)


def test_what_no_strict_load_takes_fails(spoken: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((spoken["bf16"] / "config.json").read_bytes())
    with pytest.raises(SmokeFailed, match="stock mlx-lm cannot load"):
        smoke(tmp_path, max_tokens=4)


def test_a_model_of_text_is_shown_no_picture_and_one_that_sees_only_where_mlx_vlm_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen3_moe"}')
    assert show_picture(tmp_path, max_tokens=4) == {}
    (tmp_path / "config.json").write_text('{"model_type": "qwen3_5_moe", "vision_config": {"depth": 1}}')
    told = show_picture(tmp_path, max_tokens=4)
    assert told["question"] == QUESTION
    assert ("not_run" in told) == (vision.version() is None)


def test_the_picture_is_a_png_of_two_colours() -> None:
    data = two_colours()
    width, height = struct.unpack(">II", data[16:24])
    size = struct.unpack(">I", data[33:37])[0]
    lines = zlib.decompress(data[41 : 41 + size])
    assert (data[:8], width, height, len(lines)) == (b"\x89PNG\r\n\x1a\n", 448, 448, 448 * (1 + 3 * 448))
    assert (lines[1:4], lines[448 * 3 - 2 : 448 * 3 + 1]) == (b"\xd0\x20\x20", b"\x20\x20\xd0")
