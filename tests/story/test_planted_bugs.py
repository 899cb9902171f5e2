"""A bug in the converter, or a hand in its work folder: the job fails and nothing reaches the Hub."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import HfApi

from hubbot.engine import apply_view, floats, quantize
from hubbot.engine.reader import Shards
from hubbot.engine.slices import Slice
from hubbot.lifecycle import Stage, State
from hubbot.moves import take
from hubbot.plans import Encoding
from tests.checkpoints_on_disk import read_folder, rehash, rewrite
from tests.hub.embedded import LFS_WARNING, ORG, Site
from tests.story.bots import Stages, bot, on_the_hub, run_job, settings

pytestmark = pytest.mark.filterwarnings(LFS_WARNING)
SWITCH = "model.layers.0.mlp.switch_mlp"


@pytest.fixture
def seeded(site: Site, fox: Path) -> Site:
    site.embedded.seed("fables/Fox", fox)
    return site


def assert_refused(site: Site, data: Path, *, variant: str = "bf16") -> dict[str, Any]:
    """Run the job; it must fail at verify with one clear line and leave no trace on the Hub."""
    chosen = settings(data, variants=(variant,))
    with bot(site.client(), chosen) as opened:
        site.faults.clear()
        job = run_job(opened, "fables/Fox")
        report = opened.results.get(job.id, "report", variant)
        assert opened.results.publications() == []
    assert (job.state, job.stage) == (State.FAILED, Stage.VERIFY), job.error
    assert job.error is not None
    assert "\n" not in job.error["message"]
    assert job.error["kind"] in {"ValueMismatch", "StructureMismatch"}
    assert report is not None
    assert report["verdict"] == "refused"
    assert on_the_hub(site) == {}
    assert {one.method for one in site.faults.exchanges()} <= {"GET", "HEAD"}
    return job.error


def test_without_a_bug_the_same_way_ends_on_the_hub(seeded: Site, tmp_path: Path, stages: Stages) -> None:
    with bot(seeded.client(), settings(tmp_path / "data", variants=("bf16", "4bit"))) as opened:
        job = run_job(opened, "fables/Fox")
        assert job.state is State.PUBLISHED, job.error
        assert [stage for stage, outcome in _history(opened, job.id)] == [str(stage) for stage in Stage]
        assert {outcome for _, outcome in _history(opened, job.id)} == {"done", "published"}
    assert on_the_hub(seeded) == {f"{ORG}/Fox-MLX-bf16": False, f"{ORG}/Fox-MLX-4bit": False}
    assert not list((tmp_path / "data" / "work").glob("job-*"))
    assert stages.ran == ["plan", "convert", "verify", "smoke", "smoke"]


def _history(opened: Any, job_id: int) -> list[tuple[str, str | None]]:
    return [(str(attempt.stage), attempt.outcome) for attempt in opened.results.attempts(job_id)]


# In the converter itself


def _turning_rows_over(shape: Any) -> Any:
    def planted(read: Any, area: Any, part: Slice, sources: Any) -> Any:
        raw, dtype = shape(read, area, part, sources)
        is_fused = part.move.role == "expert" and part.move.view
        return (np.ascontiguousarray(raw[..., ::-1, :]) if is_fused else raw), dtype

    return planted


def _mixing_up_experts(shape: Any) -> Any:
    def planted(read: Any, area: Any, part: Slice, sources: Any) -> Any:
        raw, dtype = shape(read, area, part, sources)
        several = part.move.role == "expert" and raw.ndim == 3 and raw.shape[0] > 1
        return (np.ascontiguousarray(raw[::-1]) if several else raw), dtype

    return planted


def _transposing_square_experts(shape: Any) -> Any:
    def planted(read: Any, area: Any, part: Slice, sources: Any) -> Any:
        raw, dtype = shape(read, area, part, sources)
        square = part.move.role == "expert" and raw.shape[-1] == raw.shape[-2]
        return (np.ascontiguousarray(raw.swapaxes(-1, -2)) if square else raw), dtype

    return planted


@pytest.mark.usefixtures("stages")
@pytest.mark.parametrize("variant", ["bf16", "4bit"])
@pytest.mark.parametrize("plant", [_turning_rows_over, _mixing_up_experts, _transposing_square_experts])
def test_a_bug_in_how_slices_are_shaped_is_caught(
    seeded: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[Any], Any], variant: str
) -> None:
    monkeypatch.setattr(apply_view, "apply", plant(apply_view.apply))
    error = assert_refused(seeded, tmp_path / "data", variant=variant)
    assert error["kind"] == "ValueMismatch"


@pytest.mark.usefixtures("stages")
@pytest.mark.parametrize("variant", ["bf16", "4bit"])
def test_gate_and_up_taken_for_each_other_is_caught(
    seeded: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    original = Shards.read
    swapped = []

    def planted(self: Shards, part: Slice) -> Any:
        if part.move.view:
            (step,) = part.move.view
            half = step.stop - step.start
            other = take(half - step.start, 2 * half - step.start)
            part = replace(part, move=replace(part.move, view=(other,)))
            swapped.append(part.move.output)
        return original(self, part)

    monkeypatch.setattr(Shards, "read", planted)
    assert assert_refused(seeded, tmp_path / "data", variant=variant)["kind"] == "ValueMismatch"
    assert {name.split(".")[-2] for name in swapped} == {"gate_proj", "up_proj"}


@pytest.mark.usefixtures("stages")
def test_a_bug_in_the_quantization_is_caught(
    seeded: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = quantize.encode

    def planted(raw: Any, dtype: str, encodings: list[Encoding], *using: Any) -> Any:
        made = original(raw, dtype, encodings, *using)
        for parts in made:
            if "biases" in parts:  # one code too high everywhere
                biases = floats.to_float32(parts["biases"], "BF16") + floats.to_float32(parts["scales"], "BF16")
                changed: Any = parts
                changed["biases"] = floats.from_float32(biases, "BF16")
        return made

    monkeypatch.setattr(quantize, "encode", planted)
    assert_refused(seeded, tmp_path / "data", variant="4bit")


# Between convert and verify


def swap_gate_and_up(folder: Path) -> None:
    stored = read_folder(folder)
    gate, up = f"{SWITCH}.gate_proj.weight", f"{SWITCH}.up_proj.weight"
    stored[gate], stored[up] = stored[up], stored[gate]
    rewrite(folder, stored)


def exchange_two_experts(folder: Path) -> None:
    stored = read_folder(folder)
    for part in ("gate", "up", "down"):
        dtype, bits = stored[f"{SWITCH}.{part}_proj.weight"]
        bits[[2, 5]] = bits[[5, 2]]
        stored[f"{SWITCH}.{part}_proj.weight"] = (dtype, bits)
    rewrite(folder, stored)


def transpose_one_expert(folder: Path) -> None:
    stored = read_folder(folder)
    dtype, bits = stored[f"{SWITCH}.down_proj.weight"]
    assert bits.shape[1] == bits.shape[2]
    bits[3] = bits[3].T.copy()
    stored[f"{SWITCH}.down_proj.weight"] = (dtype, bits)
    rewrite(folder, stored)


def lose_a_tensor(folder: Path) -> None:
    stored = read_folder(folder)
    del stored["model.norm.weight"]
    rewrite(folder, stored)


def renormalise_no_more(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"norm_topk_prob": not config["norm_topk_prob"]}))
    rehash(folder)


def flip_a_bit_unrecorded(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def smuggle_code(folder: Path) -> None:
    (folder / "modeling_fox.py").write_text("import os")
    rehash(folder)


@pytest.mark.parametrize(
    "alter",
    [
        swap_gate_and_up,
        exchange_two_experts,
        transpose_one_expert,
        lose_a_tensor,
        renormalise_no_more,
        flip_a_bit_unrecorded,
        smuggle_code,
    ],
)
def test_an_artifact_altered_between_convert_and_verify_is_refused(
    seeded: Site, tmp_path: Path, stages: Stages, alter: Callable[[Path], None]
) -> None:
    stages.before["verify"] = lambda root: alter(root / "out" / "bf16")
    assert_refused(seeded, tmp_path / "data")


@pytest.mark.parametrize("alter", [swap_gate_and_up, flip_a_bit_unrecorded, renormalise_no_more, smuggle_code])
def test_an_artifact_altered_after_it_was_judged_is_not_published(
    seeded: Site, tmp_path: Path, stages: Stages, alter: Callable[[Path], None]
) -> None:
    stages.before["smoke"] = lambda root: alter(root / "out" / "bf16")
    with bot(seeded.client(), settings(tmp_path / "data", variants=("bf16",))) as opened:
        job = run_job(opened, "fables/Fox")
    assert job.state is State.FAILED
    assert job.error is not None
    assert "not the file that was judged" in job.error["message"]
    assert on_the_hub(seeded) == {}


def test_one_bad_variant_keeps_all_of_them_from_the_hub(seeded: Site, tmp_path: Path, stages: Stages) -> None:
    stages.before["verify"] = lambda root: swap_gate_and_up(root / "out" / "bf16")
    with bot(seeded.client(), settings(tmp_path / "data", variants=("4bit", "bf16"))) as opened:
        job = run_job(opened, "fables/Fox")
    assert (job.state, job.stage) == (State.FAILED, Stage.VERIFY)
    assert on_the_hub(seeded) == {}


def test_a_failed_job_begins_anew_when_a_person_retries_it(seeded: Site, tmp_path: Path, stages: Stages) -> None:
    stages.before["verify"] = lambda root: exchange_two_experts(root / "out" / "bf16")
    with bot(seeded.client(), settings(tmp_path / "data", variants=("bf16",))) as opened:
        job = run_job(opened, "fables/Fox")
        assert job.state is State.FAILED
        stages.before.clear()
        assert opened.queue.retry(job.id).stage is Stage.INSPECT
        assert run_job(opened, "fables/Fox").state is State.PUBLISHED
    repo = f"{ORG}/Fox-MLX-bf16"
    assert HfApi(endpoint=seeded.url).model_info(repo).private is False
