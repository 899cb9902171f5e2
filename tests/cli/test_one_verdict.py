"""inspect plans: what convert refuses before it reads a weight, inspect says, in the same words and exit code."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints_on_disk import Stored, edit_json, read_folder, safetensors
from tests.cli.conftest import Shell
from tests.cli.test_refusals import REFUSALS, Refusal, rewritten
from tests.reference.checkpoints import case, write
from tests.sources.test_weight_files import ONE, POINTER, adapter, fsdp, gguf, megatron, scaled, shard, zero3

LAYER = "model.layers.1"
QWEN, DEEPSEEK = "qwen3_moe/hub", "deepseek_v3/hub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A good checkpoint, what is done to it, and how both commands have to end."""

    spoil: Callable[[Path], None]
    code: int
    named: str
    source: str = QWEN


def without(*parts: str) -> Callable[[Path], None]:
    return rewritten(lambda stored: {n: v for n, v in stored.items() if not any(part in n for part in parts)})


def adding(name: str, *shape: int) -> Callable[[Path], None]:
    return rewritten(lambda stored: stored | {name: ("F32", np.full(shape, 0x3F800000, np.uint32))})


def emptied(part: str) -> Callable[[Path], None]:
    none = ("F32", np.zeros(0, np.uint32))
    return rewritten(lambda stored: {name: none if part in name else value for name, value in stored.items()})


def cut(name: str, rows: int) -> Callable[[Path], None]:
    def change(stored: Stored) -> Stored:
        dtype, bits = stored[name]
        return stored | {name: (dtype, np.ascontiguousarray(bits[:rows]))}

    return rewritten(change)


def saying(**values: object) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "config.json", **values)


def pointer(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(POINTER)

    return spoil


def two_sets(folder: Path) -> None:
    shard(folder, scaled(read_folder(folder)))


def linked(folder: Path) -> None:
    shutil.move(folder / ONE, folder.parent / "blob")
    (folder / ONE).symlink_to(folder.parent / "blob")


def tied_to_another(folder: Path) -> None:
    edit_json(folder / "config.json", tie_word_embeddings=True)


def tokenizer_of_code(folder: Path) -> None:
    (folder / "tokenization_odd.py").write_text("")


def wrapped(stored: Stored) -> Stored:
    return {f"module.{name}": value for name, value in stored.items()}


def pruned_in_one_layer(stored: Stored) -> Stored:
    kept = {n: v for n, v in stored.items() if f"{LAYER}.mlp.experts.7." not in n}
    dtype, bits = kept[f"{LAYER}.mlp.gate.weight"]
    return kept | {f"{LAYER}.mlp.gate.weight": (dtype, np.ascontiguousarray(bits[:7]))}


BROKEN: Mapping[str, Broken] = {
    "two sets": Broken(spoil=two_sets, code=4, named="two sets of weights"),
    "a link": Broken(spoil=linked, code=4, named="leads out of the folder"),
    "a pointer for weights": Broken(spoil=pointer(ONE), code=1, named="Git LFS pointer"),
    "a pointer for the config": Broken(spoil=pointer("config.json"), code=1, named="Git LFS pointer"),
    "a pointer for the tokenizer": Broken(spoil=pointer("tokenizer.json"), code=1, named="Git LFS pointer"),
    "an adapter": Broken(spoil=adapter, code=3, named="LoRA adapter"),
    "ZeRO-3 shards": Broken(spoil=zero3, code=3, named="ZeRO"),
    "FSDP shards": Broken(spoil=fsdp, code=3, named="FSDP"),
    "Megatron shards": Broken(spoil=megatron, code=3, named="Megatron"),
    "GGUF": Broken(spoil=gguf, code=3, named="GGUF"),
    "empty experts": Broken(spoil=emptied(".experts."), code=4, named="ZeRO-3"),
    "an empty norm": Broken(spoil=emptied("model.norm."), code=4, named="ZeRO-3"),
    "an empty router": Broken(spoil=emptied(".mlp.gate."), code=4, named="ZeRO-3"),
    "wrapped": Broken(spoil=rewritten(wrapped), code=4, named="DistributedDataParallel"),
    "pruned in one layer": Broken(spoil=rewritten(pruned_in_one_layer), code=4, named="layer 1 has 7 experts"),
    "no router": Broken(spoil=without(f"{LAYER}.mlp.gate."), code=4, named="mlp.gate.weight"),
    "no attention": Broken(spoil=without(f"{LAYER}.self_attn.q_proj"), code=4, named="q_proj.weight"),
    "no output layer": Broken(spoil=without("lm_head"), code=4, named="lm_head.weight"),
    "no embedding": Broken(spoil=without("embed_tokens"), code=4, named="embed_tokens.weight"),
    "no layer": Broken(spoil=without(f"{LAYER}."), code=4, named="layer 1"),
    "no experts of a layer": Broken(spoil=without(f"{LAYER}.mlp.experts"), code=4, named=f"{LAYER}.mlp"),
    "a stray bias": Broken(spoil=adding(f"{LAYER}.self_attn.q_proj.bias", 128), code=4, named="q_proj.bias"),
    "a stray layer": Broken(spoil=adding("model.layers.2.self_attn.q_proj.weight", 4, 4), code=4, named="layer 2"),
    "a stray tensor": Broken(spoil=adding("model.extra.weight", 4), code=4, named="model.extra.weight"),
    "a smaller router": Broken(spoil=cut(f"{LAYER}.mlp.gate.weight", 6), code=4, named="gate.weight"),
    "a smaller embedding": Broken(spoil=cut("model.embed_tokens.weight", 100), code=4, named="embed_tokens"),
    "biases that are not there": Broken(spoil=saying(attention_bias=True), code=4, named="bias"),
    "more experts a token than there are": Broken(spoil=saying(num_experts_per_tok=9), code=4, named="= 9"),
    "more layers than there are": Broken(spoil=saying(num_hidden_layers=3), code=4, named="layer 2"),
    "a number of experts per layer": Broken(spoil=saying(num_experts=[8, 7]), code=4, named="= [8, 7]"),
    "another vocabulary": Broken(spoil=saying(vocab_size=129), code=4, named="[129, 64]"),
    "a model type that nobody knows": Broken(spoil=saying(model_type="my_moe"), code=4, named="my_moe"),
    "heads that do not divide": Broken(spoil=saying(num_key_value_heads=3), code=4, named="not divisible"),
    "groups that do not divide": Broken(
        spoil=saying(n_group=3, topk_group=1), code=4, named="not divisible by n_group", source=DEEPSEEK
    ),
    "tied to other numbers": Broken(spoil=tied_to_another, code=4, named="holds other numbers"),
    "a tokenizer of code": Broken(spoil=tokenizer_of_code, code=4, named="exists only as code"),
}


def verdicts(hubbot: Shell, source: Path, out: Path) -> tuple[int, str, int, str]:
    """Exit code and sentence of inspect --strict, and of convert."""
    looked = hubbot("inspect", str(source), "--strict", "--json")
    ended = hubbot("convert", str(source), "--out", str(out), "-v", "fp32", "--json")
    error = ended.json.get("error", {})
    place = f" ({error['where']})" if error.get("where") else ""
    said = f"{error['message']}{place}" if error else ""
    assert looked.json["hint"] == error.get("hint")
    assert not list(out.glob("**/*.safetensors")) or not error
    return looked.code, str(looked.json["evidence"][-1]), ended.code, said


@pytest.mark.parametrize("name", BROKEN)
def test_inspect_and_convert_have_one_verdict_and_one_sentence(hubbot: Shell, tmp_path: Path, name: str) -> None:
    broken = BROKEN[name]
    source = write(case(broken.source), tmp_path / "source")
    broken.spoil(source)
    looked, sentence, ended, error = verdicts(hubbot, source, tmp_path / "out")
    assert (looked, ended) == (broken.code, broken.code), (sentence, error)
    assert sentence == error
    assert broken.named in error


@pytest.mark.parametrize("name", [name for name, refusal in REFUSALS.items() if refusal.verdict])
def test_the_refusals_of_convert_are_inspects_too(hubbot: Shell, tmp_path: Path, name: str) -> None:
    refusal: Refusal = REFUSALS[name]
    source = write(case(refusal.source), tmp_path / "source")
    refusal.spoil(source)
    looked, sentence, ended, error = verdicts(hubbot, source, tmp_path / "out")
    assert (looked, ended) == (refusal.code, refusal.code)
    assert sentence == error


@pytest.mark.parametrize("source", [QWEN, DEEPSEEK, "qwen3_moe/sharded"])
def test_strict_ends_with_0_for_what_convert_takes(hubbot: Shell, tmp_path: Path, source: str) -> None:
    folder = write(case(source), tmp_path / "source")
    assert verdicts(hubbot, folder, tmp_path / "out")[::2] == (0, 0)


def test_without_strict_a_verdict_is_an_answer_and_no_failure(hubbot: Shell, tmp_path: Path) -> None:
    source = write(case(QWEN), tmp_path / "source")
    two_sets(source)
    ended = hubbot("inspect", str(source), "--json")
    assert (ended.code, ended.json["verdict"]) == (0, "ambiguous")


def narrow(folder: Path) -> Path:
    """A complete Qwen3 MoE of one layer whose matrices have 24 columns, which no group of 32 divides."""
    write(case(QWEN), folder)
    edit_json(
        folder / "config.json", hidden_size=24, head_dim=12, num_attention_heads=2, num_key_value_heads=2,
        moe_intermediate_size=24, intermediate_size=24, num_experts=2, num_experts_per_tok=1, num_hidden_layers=1,
        vocab_size=40, max_window_layers=1,
    )  # fmt: skip
    home = "model.layers.0"
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens": (40, 24), "lm_head": (40, 24), "model.norm": (24,)}
    shapes |= {f"{home}.self_attn.{part}_proj": (24, 24) for part in "qkvo"}
    shapes |= {f"{home}.self_attn.{part}_norm": (12,) for part in "qk"}
    shapes |= {f"{home}.{part}_layernorm": (24,) for part in ("input", "post_attention")}
    shapes |= {f"{home}.mlp.gate": (2, 24)}
    shapes |= {f"{home}.mlp.experts.{e}.{p}_proj": (24, 24) for e in range(2) for p in ("gate", "up", "down")}
    stored: Stored = {f"{name}.weight": ("F32", np.ones(shape, np.uint32)) for name, shape in shapes.items()}
    (folder / ONE).write_bytes(safetensors(stored))
    return folder


def test_a_variant_that_would_quantize_nothing_is_said_and_is_no_verdict(
    hubbot: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBOT_VARIANTS", '["bf16", "mxfp4"]')
    ended = hubbot("inspect", str(narrow(tmp_path / "source")), "--strict", "--json")
    assert (ended.code, ended.json["verdict"]) == (0, "convertible")
    assert "variant mxfp4 would quantize nothing" in ended.json["evidence"][-1]


def test_a_card_that_cannot_be_read_is_said(hubbot: Shell, tmp_path: Path) -> None:
    source = write(case(QWEN), tmp_path / "source")
    (source / "README.md").write_text("---\nlicense: [\n---\n")
    evidence = hubbot("inspect", str(source), "--json").json["evidence"]
    assert any("metadata cannot be read" in line for line in evidence)
    assert json.dumps(evidence)
