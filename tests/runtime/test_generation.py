import json
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from hubbot.catalogue.variants.named_variants import Precision, Variant
from hubbot.errors import NAMES_SHOWN, SmokeFailed
from hubbot.runtime import generation
from hubbot.runtime.generation import Speaker
from hubbot.steps.convert import Bounds, convert
from hubbot.steps.plan import plan
from hubbot.steps.smoke import smoke
from tests.checkpoints_on_disk import contents, converted, look, quietly, read_folder, rewrite

OWL = Path(__file__).parents[2] / "hubbot" / "devhub" / "demo_models" / "owl"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(look(OWL), tmp_path_factory.mktemp("owl"), "8bit")["8bit"]


@pytest.fixture(scope="module")
def speaker(whole: Path) -> Speaker:
    return Speaker(whole)


def test_greedy_decoding_says_the_same_twice_and_stops_at_the_limit(speaker: Speaker) -> None:
    one, two = (speaker.say("Once upon a time", max_tokens=6, temperature=0, seed=seed) for seed in (1, 2))
    assert one.text == two.text
    assert 0 < one.tokens <= 6
    assert one.finite
    assert one.tokens_per_second > 0
    assert one.first_token_seconds > 0


def test_sampling_is_decided_by_its_seed_alone(speaker: Speaker) -> None:
    said = {
        seed: [speaker.say("Once upon a time", max_tokens=12, temperature=1.5, seed=seed).text for _ in range(2)]
        for seed in range(4)
    }
    assert all(one == two for one, two in said.values())
    assert len({one for one, _ in said.values()}) > 1


def test_a_bfloat16_model_speaks_in_float32_on_a_cpu_and_a_float16_one_as_it_is(
    speaker: Speaker, tmp_path: Path, whole: Path
) -> None:
    assert speaker.upcast == (speaker.device["device"] == "CPU")
    folder = tmp_path / "float16"
    shutil.copytree(whole, folder)
    stored = read_folder(folder)
    halves = {name: ("F16", _half(bits)) for name, (dtype, bits) in stored.items() if dtype == "BF16"}
    assert halves
    rewrite(folder, stored | halves)
    # What overflows in float16 on a Mac must do so here, too.
    assert not Speaker(folder).upcast


def _half(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float16).view(np.uint16)


def test_the_peak_of_earlier_stages_is_not_the_smoke_tests(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    took = {"peak": 70 << 30}
    monkeypatch.setattr(mx, "reset_peak_memory", lambda: took.update(peak=3 << 20))
    monkeypatch.setattr(generation, "peak_gpu_bytes", lambda: took["peak"])
    assert smoke(whole, max_tokens=2).peak_memory_bytes == 3 << 20


def test_a_model_that_lacks_parameters_fails_with_their_names(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "torn"
    shutil.copytree(whole, folder)
    stored = read_folder(folder)
    experts = {name for name in stored if "switch_mlp" in name}
    lost = sorted(name for name in experts if name.endswith(".weight"))
    rewrite(folder, {name: value for name, value in stored.items() if name not in experts})
    with pytest.raises(SmokeFailed, match=rf"Missing {len(lost)} parameters: '{lost[0]}', '{lost[1]}'") as caught:
        Speaker(folder)
    assert caught.value.names == {"parameters": lost}
    assert len(lost) > NAMES_SHOWN
    assert f"and {len(lost) - NAMES_SHOWN} more" in caught.value.message
    assert lost[-1] not in caught.value.message


def test_a_class_that_asks_for_what_is_not_stored_fails_with_its_name(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "torn"
    shutil.copytree(whole, folder)
    stored = read_folder(folder)
    # Scales without their weights: mlx-lm's Mixtral asks for them before its strict load lists anything.
    kept = {name: value for name, value in stored.items() if not name.endswith("switch_mlp.gate_proj.weight")}
    rewrite(folder, kept)
    with pytest.raises(SmokeFailed, match=r"it looks for 'model.layers.0.\S*gate_proj.weight' in vain"):
        Speaker(folder)


def test_a_quantized_model_whose_experts_stay_16_bit_speaks_on_a_cpu(tmp_path: Path) -> None:
    owl = look(OWL)
    rest = Precision(mode="affine", bits=8, group_size=64)
    recipe = Variant(name="8bit-but-experts", dtype=None, experts=None, rest=rest)
    made = convert(
        owl.checkpoint,
        plan(owl.checkpoint, owl.layout, [recipe], working_bytes=1 << 20),
        source=OWL,
        out=tmp_path,
        bounds=Bounds(working_bytes=1 << 20, shard_bytes=1 << 30),
        progress=quietly,
    )
    folder = Path(made[0].path)
    dtypes = {name: dtype for name, (dtype, _) in read_folder(folder).items() if "switch_mlp" in name}
    assert set(dtypes.values()) <= {"BF16", "F16"}
    assert "quantization" in json.loads((folder / "config.json").read_text())
    before = contents(folder)
    record = smoke(folder, max_tokens=6)
    assert record.upcast_to_float32 == (record.device["device"] == "CPU")
    assert all(sample.tokens for sample in record.samples)
    assert contents(folder) == before


def test_a_folder_without_a_model_is_a_failed_smoke_test(tmp_path: Path) -> None:
    with pytest.raises(SmokeFailed, match="cannot load"):
        Speaker(tmp_path)
