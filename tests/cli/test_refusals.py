"""Checkpoints that nobody may convert: each is refused by name and exit code, and leaves nothing behind."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints_on_disk import Stored, edit_json, read_folder, read_stored, safetensors
from tests.cli.conftest import Shell
from tests.reference.checkpoints import case, write

HOME = "model.layers.1.mlp.experts"
UP = f"{HOME}.3.up_proj.weight"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What is done to a good checkpoint, and what hubbot must say: exit code, inspect's verdict, what is named."""

    spoil: Callable[[Path], None]
    code: int
    verdict: str | None
    named: tuple[str, ...]
    source: str = "qwen3_moe/sharded"


def rewritten(change: Callable[[Stored], Stored]) -> Callable[[Path], None]:
    """Spoil by rewriting the checkpoint as one file of other tensors."""

    def spoil(folder: Path) -> None:
        stored = change(read_folder(folder))
        for path in [*folder.glob("*.safetensors"), folder / INDEX]:
            path.unlink(missing_ok=True)
        (folder / "model.safetensors").write_bytes(safetensors(stored))

    return spoil


def lose_an_expert(stored: Stored) -> Stored:
    return {name: value for name, value in stored.items() if not name.startswith(f"{HOME}.3.")}


def lose_a_projection(stored: Stored) -> Stored:
    return {name: value for name, value in stored.items() if name != UP}


def shrink_an_expert(stored: Stored) -> Stored:
    dtype, bits = stored[UP]
    return stored | {UP: (dtype, np.ascontiguousarray(bits[:-2]))}


def rename_the_fused(stored: Stored) -> Stored:
    return {name.replace("experts.gate_up_proj", "experts.up_gate_proj"): value for name, value in stored.items()}


def poison(value: float) -> Callable[[Stored], Stored]:
    def change(stored: Stored) -> Stored:
        dtype, bits = stored[UP]
        spoiled = bits.copy()
        spoiled.flat[7] = np.float32(value).view(np.uint32)
        return stored | {UP: (dtype, spoiled)}

    return change


def leave_a_scale_alone(stored: Stored) -> Stored:
    return stored | {f"{UP}_scale_inv": ("F32", np.ones((1, 1), np.uint32))}


def lose_the_weight_of_a_scale(stored: Stored) -> Stored:
    return lose_a_projection(leave_a_scale_alone(stored))


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def put_a_tensor_into_two_shards(folder: Path) -> None:
    first, second, *_ = shards(folder)
    name, value = next(iter(read_stored(first).items()))
    second.write_bytes(safetensors(read_stored(second) | {name: value}))


def first_tensor(folder: Path) -> str:
    return next(iter(read_stored(shards(folder)[0])))


def lose_a_shard(folder: Path) -> None:
    shards(folder)[1].unlink()


def cut_a_shard(folder: Path) -> None:
    path = shards(folder)[1]
    path.write_bytes(path.read_bytes()[:-100])


def make_it_dense(folder: Path) -> None:
    rewritten(lambda stored: {n.replace(".mlp.experts.0.", ".mlp."): v for n, v in stored.items() if keeps(n)})(
        folder
    )
    config = json.loads((folder / "config.json").read_text())
    edit_json(folder / "config.json", *(key for key in config if "expert" in key), model_type="qwen3")


def keeps(name: str) -> bool:
    return ".experts." not in name or ".experts.0." in name


def claim_a_flag(folder: Path) -> None:
    edit_json(folder / "config.json", sliding_window=16, use_sliding_window=True)


REFUSALS: Mapping[str, Refusal] = {
    "a missing expert": Refusal(
        spoil=rewritten(lose_an_expert), code=4, verdict="incomplete", named=("layer 1", "expert 3", "gate")
    ),
    "a missing projection": Refusal(
        spoil=rewritten(lose_a_projection), code=4, verdict="incomplete", named=("layer 1", "expert 3", "up")
    ),
    "one expert of another shape": Refusal(
        spoil=rewritten(shrink_an_expert), code=4, verdict="incomplete", named=(UP, "the other up tensors")
    ),
    "an unknown fused name": Refusal(
        spoil=rewritten(rename_the_fused),
        code=4,
        verdict="unknown-layout",
        named=("experts.up_gate_proj",),
        source="qwen3_moe/v5",
    ),
    "a dense model": Refusal(spoil=make_it_dense, code=3, verdict="not-moe", named=("dense",)),
    "NaN weights": Refusal(spoil=rewritten(poison(np.nan)), code=1, verdict=None, named=(UP,)),
    "infinite weights": Refusal(spoil=rewritten(poison(-np.inf)), code=1, verdict=None, named=(UP,)),
    "a tensor in two shards": Refusal(
        spoil=put_a_tensor_into_two_shards, code=1, verdict="corrupt", named=("stands in two shards", "-00001-of-")
    ),
    "an index naming a missing shard": Refusal(
        spoil=lose_a_shard, code=1, verdict="corrupt", named=("-00002-of-", "not in the repo", INDEX)
    ),
    "a truncated shard": Refusal(
        spoil=cut_a_shard, code=1, verdict="corrupt", named=("the file has", "-00002-of-")
    ),
    "a scale without a packed weight": Refusal(
        spoil=rewritten(leave_a_scale_alone), code=4, verdict="unknown-packing", named=(f"{UP}_scale_inv",)
    ),
    "a scale without a weight": Refusal(
        spoil=rewritten(lose_the_weight_of_a_scale), code=4, verdict="unknown-packing", named=(f"{UP}_scale_inv",)
    ),
    "a flag that the class does not read": Refusal(
        spoil=claim_a_flag, code=4, verdict="no-runtime", named=("sliding_window = 16",)
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_nobody_may_convert_is_refused_by_name(hubbot: Shell, tmp_path: Path, name: str) -> None:
    refusal = REFUSALS[name]
    source = write(case(refusal.source), tmp_path / "source")
    tensor = first_tensor(source)
    refusal.spoil(source)
    looked = hubbot("inspect", str(source), "--json")
    ended = hubbot("convert", str(source), "--out", str(tmp_path / "out"), "-v", "bf16", "-v", "4bit", "--json")
    assert looked.code == 0
    assert looked.json["verdict"] == (refusal.verdict or "convertible")
    assert ended.code == refusal.code, ended.json
    error = ended.json["error"]
    told = f"{error['message']} {error['where']}"
    for text in refusal.named:
        assert text in told
    if name == "a tensor in two shards":
        assert tensor in told
    if refusal.verdict:
        assert error["message"] in looked.json["evidence"][-1]
    assert "\n" not in error["message"]
    assert not list(tmp_path.glob("out/**/*.safetensors"))


def test_the_checkpoints_are_fine_before_they_are_spoiled(hubbot: Shell, tmp_path: Path) -> None:
    for name in {refusal.source for refusal in REFUSALS.values()}:
        source = write(case(name), tmp_path / name)
        ended = hubbot("convert", str(source), "--out", str(tmp_path / "out" / name), "-v", "bf16", "--json")
        assert ended.code == 0
