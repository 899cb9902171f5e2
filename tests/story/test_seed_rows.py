"""What the source documents ask for and hubbot once did in part or not at all: a test for each such row.

The numbers are those of the list of 82 capabilities. Rows 44, 45 and 55 are told in test_seeing_models.py.
"""

import ast
import json
import re
import shutil
import tokenize
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from hubbot.catalogue.variants.named_variants import Precision, Variant
from hubbot.runtime import models
from hubbot.steps.convert import Bounds, convert
from hubbot.steps.plan import plan
from hubbot.steps.smoke import smoke
from tests.checkpoints_on_disk import (
    Stored,
    edit_json,
    look,
    quietly,
    read_folder,
    rewrite,
    safetensors,
)
from tests.cli.conftest import Shell, converted, exhibits, fox, hubbot, machine
from tests.reference.checkpoints import case, write

__all__ = ["converted", "exhibits", "fox", "hubbot", "machine"]
ROOT = Path(__file__).parents[2]
OWL = ROOT / "hubbot" / "devhub" / "demo_models" / "owl"
OWN_CLASSES = sorted(path for path in Path(models.__file__).parent.glob("*.py") if path.name != "__init__.py")
LAYER = "model.layers.1"


def store(folder: Path, stored: Stored) -> Path:
    (folder / "model.safetensors").write_bytes(safetensors(stored))
    return folder


def without(folder: Path, part: str) -> Path:
    return store(folder, {name: value for name, value in read_folder(folder).items() if part not in name})


def source(tmp_path: Path, name: str) -> Path:
    return write(case(name), tmp_path / "source")


def ones(size: int, value: float = 1.0) -> tuple[str, np.ndarray]:
    return "F32", np.full(size, value, np.float32).view("<u4")


def test_row_5_biases_that_are_not_needed_are_dropped_if_zero_and_refused_if_not(
    hubbot: Shell, tmp_path: Path
) -> None:
    folder, name = source(tmp_path, "hunyuan/stacked/orig"), "model.layers.0.input_layernorm.bias"
    store(folder, {**read_folder(folder), name: ones(64, 0.0)})
    made = hubbot("convert", str(folder), "--out", str(tmp_path / "out"), "-v", "fp32", "--verify", "--json")
    assert (made.code, made.json["verified"]) == (0, {"fp32": "approved"})
    dropped = json.loads((tmp_path / "out" / "fp32" / "hubbot.json").read_text())["dropped"]
    assert name in [item["name"] for item in dropped]
    store(folder, {**read_folder(folder), name: ones(64)})
    refused = hubbot("convert", str(folder), "--out", str(tmp_path / "other"), "-v", "fp32", "--json")
    assert refused.code == 4
    assert name in refused.out


def test_row_12_a_weight_file_is_listed_before_conversion_even_without_a_config(
    hubbot: Shell, tmp_path: Path
) -> None:
    folder = source(tmp_path, "hunyuan/stacked/orig")
    (folder / "config.json").unlink()
    listed = hubbot("inspect", str(folder / "model.safetensors"), "--json").json["tensors"]
    assert {item["name"]: tuple(item["shape"]) for item in listed} == {
        name: bits.shape for name, (_, bits) in read_folder(folder).items()
    }


@pytest.mark.parametrize(
    ("name", "lost", "told"),
    [
        ("qwen3_moe/hub", f"{LAYER}.", "layer 1"),
        ("qwen3_moe/hub", f"{LAYER}.self_attn.q_proj", "q_proj.weight"),
        ("hunyuan/stacked/orig", f"{LAYER}.mlp.gate.wg", "gate.wg.weight"),
        ("hunyuan/stacked/orig", f"{LAYER}.mlp.switch_mlp", f"{LAYER}.mlp"),
    ],
)
def test_row_13_inspect_tells_a_broken_checkpoint_before_conversion(
    name: str, lost: str, told: str, hubbot: Shell, tmp_path: Path
) -> None:
    folder = str(without(source(tmp_path, name), lost))
    seen = hubbot("inspect", folder, "--strict", "--json")
    assert (seen.code, seen.json["verdict"]) == (4, "incomplete")
    assert told in seen.out


def test_row_17_all_that_is_missing_is_named_in_the_names_of_the_source(hubbot: Shell, tmp_path: Path) -> None:
    folder = source(tmp_path, "hunyuan/orig")
    edit_json(folder / "config.json", use_cla=False)
    lost = hubbot("convert", str(folder), "--out", str(tmp_path / "out"), "--json")
    assert lost.code == 4
    named = {name for listed in lost.json["error"]["names"].values() for name in listed}
    assert {f"model.layers.{i}.self_attn.{part}_proj.weight" for i in (1, 3) for part in "kv"} <= named
    edit_json(folder / "config.json", use_cla=True)
    assert "mlp.gate.wg.weight" in hubbot("inspect", str(without(folder, f"{LAYER}.mlp.gate.wg")), "--json").out


def test_row_18_the_smoke_test_names_every_missing_parameter(
    hubbot: Shell, converted: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(converted / "out" / "4bit", tmp_path / "torn")
    stored = read_folder(folder)
    rewrite(folder, {name: value for name, value in stored.items() if "switch_mlp" not in name})
    failed = hubbot("smoke", str(folder), "--json")
    assert failed.code != 0
    named = {name for listed in failed.json["error"]["names"].values() for name in listed}
    assert named == {name for name in stored if "switch_mlp" in name and name.endswith(".weight")}


def test_row_19_an_mlx_repo_is_judged_without_its_source(hubbot: Shell, tmp_path: Path) -> None:
    folder = source(tmp_path, "hunyuan/orig")
    assert hubbot("convert", str(folder), "--out", str(tmp_path / "out"), "-v", "fp32", "-v", "4bit").code == 0
    for variant in ("fp32", "4bit"):
        assert hubbot("inspect", str(tmp_path / "out" / variant), "--strict").code == 0
    torn = tmp_path / "out" / "4bit"
    rewrite(torn, {name: value for name, value in read_folder(torn).items() if f"{LAYER}.mlp.switch" not in name})
    seen = hubbot("inspect", str(torn), "--strict")
    assert seen.code != 0
    assert f"{LAYER}.mlp.switch_mlp" in seen.out


def test_row_22_what_is_loaded_where_is_logged(hubbot: Shell, tmp_path: Path) -> None:
    folder = source(tmp_path, "hunyuan/orig")
    ended = hubbot("convert", str(folder), "--out", str(tmp_path / "out"), "-v", "fp32", "--dry-run", "--verbose")
    told = " ".join(ended.err.split())
    assert ended.code == 0
    assert "model.layers.0.mlp.switch_mlp.up_proj.weight: expected [4, 128, 64]" in told
    assert "model.layers.0.mlp.experts.0.up_proj.weight" in told
    assert "in model.safetensors" in told


def test_row_26_a_quantized_variant_with_16_bit_experts_speaks_on_a_cpu(tmp_path: Path) -> None:
    owl, rest = look(OWL), Precision(mode="affine", bits=8, group_size=64)
    recipe = Variant(name="8bit-but-experts", dtype=None, experts=None, rest=rest)
    planned = plan(owl.checkpoint, owl.layout, [recipe], working_bytes=1 << 20)
    bounds = Bounds(working_bytes=1 << 20, shard_bytes=1 << 30)
    (made,) = convert(owl.checkpoint, planned, source=OWL, out=tmp_path, bounds=bounds, progress=quietly)
    assert all(sample.tokens for sample in smoke(Path(made.path), max_tokens=4).samples)


@pytest.mark.parametrize("path", OWN_CLASSES, ids=lambda path: path.stem)
def test_row_39_every_field_of_every_model_file_is_explained(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("class ModelArgs"))
    fields = 0
    for number, line in enumerate(lines[start + 1 :], start + 1):
        if re.match(r"\S|    (?:def|@)", line):
            break
        if re.match(r"    \w+: ", line):
            fields += 1
            assert lines[number - 1].lstrip().startswith("#"), line
    assert fields


@pytest.mark.parametrize("path", OWN_CLASSES, ids=lambda path: path.stem)
def test_row_40_the_flow_of_data_has_its_comments(path: Path) -> None:
    with path.open("rb") as file:
        comments = [token.start[0] for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT]
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        # One line after the docstring says itself what it does.
        if isinstance(node, ast.FunctionDef) and node.name == "__call__" and len(node.body) > 2
    ]
    assert calls
    bare = [
        call.lineno for call in calls if not any(call.lineno < at <= (call.end_lineno or 0) for at in comments)
    ]
    assert bare == []


def test_row_43_fp8_experts_of_a_model_that_sees_are_fused_codes_and_scales_together(
    hubbot: Shell, tmp_path: Path
) -> None:
    folder, out, block = source(tmp_path, "qwen3_5_moe/fp8"), tmp_path / "out", 16
    before, generator = read_folder(folder), np.random.default_rng(43)
    for name in [name for name in before if name.endswith("_scale_inv")]:
        rows, columns = before[name.removesuffix("_scale_inv")][1].shape
        scales = generator.random((-(-rows // block), -(-columns // block)), dtype=np.float32)
        before[name] = ("F32", scales.view("<u4"))
    store(folder, before)
    packing = json.loads((folder / "config.json").read_text())["quantization_config"]
    edit_json(folder / "config.json", quantization_config={**packing, "weight_block_size": [block, block]})
    assert hubbot("relayout", str(folder), "--to", "stacked-fused", "--out", str(out)).code == 0
    after = read_folder(out)
    home = "model.language_model.layers.1.mlp.experts"
    for end in ("", "_scale_inv"):
        halves = [before[f"{home}.3.{part}_proj.weight{end}"] for part in ("gate", "up")]
        dtype, bits = after[f"{home}.gate_up_proj{end}"]
        assert dtype == halves[0][0]
        assert np.array_equal(bits[3], np.concatenate([half for _, half in halves]))
    beside = {name for name in before if ".experts." not in name}
    assert any("visual" in name for name in beside)
    assert all(np.array_equal(after[name][1], before[name][1]) for name in beside)


def test_row_50_the_form_that_mlx_vlm_takes_of_qwen3_vl_is_said_and_made(hubbot: Shell, tmp_path: Path) -> None:
    told = hubbot("relayout", "--help").out
    assert re.search(r"qwen3_vl_moe\s+mlx-vlm\s+stacked-fused-transposed\s*\n", told)
    assert re.search(r"qwen3_5_moe\s+mlx-vlm\s+per-expert, stacked-fused\s*\n", told)
    folder, out = source(tmp_path, "qwen3_vl_moe/v5"), tmp_path / "out"
    hubbot("relayout", str(folder), "--to", "stacked-fused-transposed", "--out", str(out))
    before, after = read_folder(folder), read_folder(out)
    name = next(name for name in before if name.endswith(".experts.gate_up_proj"))
    assert np.array_equal(after[name][1], before[name][1].swapaxes(1, 2))


def test_row_59_one_expert_of_another_dtype_is_named_by_convert(hubbot: Shell, tmp_path: Path) -> None:
    folder, odd = source(tmp_path, "qwen3_moe/hub"), f"{LAYER}.mlp.experts.2.up_proj.weight"
    stored = read_folder(folder)
    kind = "F16" if stored[odd][0] != "F16" else "BF16"
    store(folder, {**stored, odd: (kind, np.zeros(stored[odd][1].shape, "<u2"))})
    refused = hubbot("convert", str(folder), "--out", str(tmp_path / "out"), "--json")
    assert refused.code == 4
    assert odd in refused.out


def test_row_61_fp8_without_scales_is_not_moved_as_if_it_were_plain(hubbot: Shell, tmp_path: Path) -> None:
    folder = without(source(tmp_path, "qwen3_5_moe/fp8"), "_scale_inv")
    refused = hubbot("relayout", str(folder), "--to", "stacked-fused", "--out", str(tmp_path / "out"), "--json")
    assert refused.code == 4
    assert "scale" in refused.json["error"]["message"]
    assert not (tmp_path / "out").exists()


def test_row_63_inspect_says_in_words_that_a_checkpoint_is_fp8(hubbot: Shell, tmp_path: Path) -> None:
    assert "its weights are packed: fp8" in hubbot("inspect", str(source(tmp_path, "qwen3_5_moe/fp8"))).out


def test_row_64_experts_of_qwen3_vl_that_each_have_a_tensor_are_no_dead_end(hubbot: Shell, tmp_path: Path) -> None:
    apart, out = tmp_path / "apart", tmp_path / "out"
    folder = source(tmp_path, "qwen3_vl_moe/orig")
    assert hubbot("relayout", str(folder), "--to", "per-expert", "--out", str(apart)).code == 0
    made = hubbot("convert", str(apart), "--out", str(out), "-v", "fp32", "--verify", "--json")
    assert (made.code, made.json["verified"]) == (0, {"fp32": "approved"})


def test_row_74_every_file_goes_along_or_is_listed_as_left_out(hubbot: Shell, tmp_path: Path) -> None:
    folder, out = source(tmp_path, "qwen3_moe/hub"), tmp_path / "out"
    edit_json(folder / "config.json", auto_map={"AutoConfig": "configuration_x.X"})
    (folder / "sub").mkdir()
    for name in ("configuration_x.py", "modeling_x.py", "vocab.bpe", "spiece.vocab", "sub/notes.txt"):
        (folder / name).write_text("x")
    ended = hubbot("relayout", str(folder), "--to", "stacked", "--out", str(out), "--json")
    left = set(ended.json["left_out"])
    assert {"configuration_x.py", "modeling_x.py"} <= left
    beside = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert all(path in left or (out / path).is_file() for path in beside)
    assert "auto_map" not in json.loads((out / "config.json").read_text())


def test_row_76_experts_as_veomni_stacks_them_go_straight_to_mlx(hubbot: Shell, tmp_path: Path) -> None:
    folder = source(tmp_path, "qwen3_moe/hub")
    before, merged = read_folder(folder), {}
    # The rule of its scripts/moe_merge.py: the experts of a projection, one above the other, without `.weight`.
    for name, value in before.items():
        found = re.fullmatch(r"(.*\.experts)\.0\.(\w+)\.weight", name)
        if found:
            home, part = found.groups()
            one = [before[f"{home}.{i}.{part}.weight"][1] for i in range(8)]
            merged[f"{home}.{part}"] = (value[0], np.stack(one))
        elif ".experts." not in name:
            merged[name] = value
    store(folder, merged)
    made = hubbot("convert", str(folder), "--out", str(tmp_path / "out"), "-v", "fp32", "--verify", "--json")
    assert (made.code, made.json["verified"]) == (0, {"fp32": "approved"})
    up = read_folder(tmp_path / "out" / "fp32")[f"{LAYER}.mlp.switch_mlp.up_proj.weight"][1]
    assert up.shape == merged[f"{LAYER}.mlp.experts.up_proj"][1].shape


@pytest.mark.parametrize(
    ("model_type", "forms"),
    [
        ("qwen3_moe", "per-expert, stacked-fused"),
        ("qwen3_5_moe", "per-expert, stacked-fused"),
        ("qwen3_vl_moe", "stacked-fused-transposed, stacked-fused"),
    ],
)
def test_row_78_the_help_says_which_form_which_runtime_wants(model_type: str, forms: str, hubbot: Shell) -> None:
    told = hubbot("relayout", "--help").out
    assert re.search(rf"{model_type}\s+transformers 5\s+{forms}\s*\n", told)
    assert re.search(rf"{model_type}\s+VeOmni\s+stacked\s*\n", told)
    assert re.search(rf"{model_type}\s+mlx-lm\s+\S", told)


def test_row_81_the_lists_of_a_card_are_lists(hubbot: Shell, tmp_path: Path) -> None:
    folder = source(tmp_path, "qwen3_5_moe/orig")
    assert hubbot("convert", str(folder), "--out", str(tmp_path / "out"), "-v", "4bit", "--text-only").code == 0
    card = (tmp_path / "out" / "4bit" / "README.md").read_text()
    tokens = MarkdownIt("commonmark").enable("table").parse(card.split("---\n", 2)[2])
    items = [token for token in tokens if token.type == "list_item_open"]
    assert len(items) == len(re.findall(r"^- ", card.split("---\n", 2)[2], re.MULTILINE)) > 3
    assert not [token.content for token in tokens if token.type == "inline" and re.search(r"\S- `", token.content)]


def test_row_82_a_tokenizer_that_makes_nothing_of_the_text_is_not_applicable(
    hubbot: Shell, fox: Path, tmp_path: Path
) -> None:
    edit_json(fox / "tokenizer.json", added_tokens=[], normalizer=None, pre_tokenizer=None, post_processor=None)
    edit_json(fox / "tokenizer.json", model={"type": "BPE", "vocab": {}, "merges": []})
    made = hubbot("convert", str(fox), "--out", str(tmp_path / "out"), "-v", "4bit", "--verify", "--json")
    assert (made.code, made.json["verified"]) == (0, {"4bit": "approved"})
    report = json.loads((tmp_path / "out" / "4bit" / "report.json").read_text())
    (tier,) = (item for item in report["findings"] if (item["gate"], item["check"]) == ("behaviour", "tier"))
    assert tier["status"] == "not-applicable"
    assert "nothing of the text" in tier["reason"]
