import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubbot.artifacts import Report
from hubbot.errors import Disproved
from tests.checkpoints_on_disk import (
    Workshop,
    converted,
    edit_json,
    judged,
    look,
    read_folder,
    read_stored,
    rehash,
    rewrite,
    safetensors,
)
from tests.sabotage.mutations import (
    EXACT_SABOTAGES,
    FLOAT_SABOTAGES,
    QUANTIZED_SABOTAGES,
    SABOTAGES,
    Broken,
    Sabotage,
    read_config,
)

# Square experts (hidden size = expert width), where a transposed expert has the right shape.
SOURCE = "qwen3_moe/square/hub"
VARIANTS = ("bf16", "8bit", "4bit", "moe-3bit", "mxfp4")
CASES = [
    *((variant, sabotage) for sabotage in SABOTAGES for variant in VARIANTS),
    *((variant, sabotage) for sabotage in QUANTIZED_SABOTAGES for variant in VARIANTS if variant != "bf16"),
    *(("bf16", sabotage) for sabotage in EXACT_SABOTAGES),
    *((variant, sabotage) for sabotage in FLOAT_SABOTAGES for variant in VARIANTS if variant != "mxfp4"),
]


@pytest.fixture
def good(workshop: Workshop, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    yield lambda variant: workshop.copy(SOURCE, variant, tmp_path / variant)
    for folder in tmp_path.iterdir():
        shutil.rmtree(folder)


def refused(report: Report, check: str, subject: str) -> None:
    assert report.verdict == "refused"
    with pytest.raises(Disproved):
        report.approve()
    told = [(finding.check, finding.subject) for finding in report.failures]
    assert any(name in check.split("|") and subject in where for name, where in told), told


@pytest.mark.parametrize("variant", [*VARIANTS, "nvfp4", "fp32"])
def test_an_artifact_that_is_only_taken_apart_and_put_together_is_approved(
    variant: str, good: Callable[[str], Path], workshop: Workshop
) -> None:
    folder = good(variant)
    rewrite(folder, read_folder(folder))
    report = workshop.report(SOURCE, folder)
    assert report.failures == ()
    assert report.verdict == "approved"


@pytest.mark.parametrize(("variant", "sabotage"), CASES, ids=lambda value: getattr(value, "name", value))
def test_sabotage_is_refused_and_the_finding_says_where(
    variant: str, sabotage: Sabotage, good: Callable[[str], Path], workshop: Workshop
) -> None:
    folder = good(variant)
    broken = Broken(folder, read_folder(folder), read_config(folder))
    sabotage.mutation(broken)
    (folder / "config.json").write_text(json.dumps(broken.config))
    rewrite(folder, broken.tensors)
    report = workshop.report(SOURCE, folder)
    hashes = next(finding for finding in report.findings if finding.check == "file hashes")
    assert hashes.status == "pass", "hashes alone must not give it away"
    refused(report, sabotage.check, sabotage.subject)


def test_an_index_that_names_another_shard_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source(SOURCE)
    folder = converted(source, tmp_path, "bf16", shard_bytes=60_000)["bf16"]
    path = folder / "model.safetensors.index.json"
    weight_map = json.loads(path.read_text())["weight_map"]
    name, shard = next(iter(weight_map.items()))
    other = next(value for value in weight_map.values() if value != shard)
    edit_json(path, weight_map=weight_map | {name: other})
    rehash(folder)
    refused(judged(source, folder), "index", name)


def test_a_lost_index_of_several_shards_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    source = workshop.source(SOURCE)
    folder = converted(source, tmp_path, "bf16", shard_bytes=60_000)["bf16"]
    (folder / "model.safetensors.index.json").unlink()
    rehash(folder)
    refused(judged(source, folder), "index", "index.json")


def test_a_stray_shard_is_refused_because_mlx_lm_would_merge_it(
    good: Callable[[str], Path], workshop: Workshop
) -> None:
    folder = good("4bit")
    name = "model.norm.weight"
    stored = read_stored(folder / "model.safetensors")[name]
    (folder / "model-zzz.safetensors").write_bytes(safetensors({name: stored}))
    refused(workshop.report(SOURCE, folder), "foreign files", "model-zzz.safetensors")
    rehash(folder)
    refused(workshop.report(SOURCE, folder), "tensor in one shard", name)


@pytest.mark.parametrize("variant", ["bf16", "4bit"])
def test_a_truncated_last_tensor_is_refused(variant: str, good: Callable[[str], Path], workshop: Workshop) -> None:
    folder = good(variant)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-16])
    rehash(folder)
    refused(workshop.report(SOURCE, folder), "readable", "model.safetensors")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "model.safetensors.index.json"])
def test_one_low_bit_of_any_file_is_found_by_its_hash(
    file: str, good: Callable[[str], Path], workshop: Workshop
) -> None:
    folder = good("4bit")
    data = bytearray((folder / file).read_bytes())
    data[-1] ^= 1
    (folder / file).write_bytes(data)
    refused(workshop.report(SOURCE, folder), "file hashes", file)


@pytest.mark.parametrize("file", ["modeling_square.py", "weights.pkl", "pytorch_model.bin", "sub/tool.py"])
def test_a_file_that_can_run_is_refused_even_if_it_is_recorded(
    file: str, good: Callable[[str], Path], workshop: Workshop
) -> None:
    folder = good("4bit")
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text("import os")
    refused(workshop.report(SOURCE, folder), "foreign code", file)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "hubbot.json"])
def test_a_lost_file_is_refused(file: str, good: Callable[[str], Path], workshop: Workshop) -> None:
    folder = good("4bit")
    (folder / file).unlink()
    report = workshop.report(SOURCE, folder)
    if file == "hubbot.json":
        # Then it is simply not hubbot's: no hashes are known, and everything else still holds.
        assert next(f for f in report.findings if f.check == "file hashes").status == "not-run"
        return
    refused(report, "file hashes", file)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_config_that_is_none_is_refused(text: str, good: Callable[[str], Path], workshop: Workshop) -> None:
    folder = good("4bit")
    (folder / "config.json").write_text(text)
    rehash(folder)
    assert workshop.report(SOURCE, folder).verdict == "refused"


def test_the_artifact_of_another_model_is_refused(workshop: Workshop) -> None:
    report = workshop.report(SOURCE, workshop.artifact("qwen3_moe/hub", "bf16"))
    assert report.verdict == "refused"
    assert {finding.gate for finding in report.failures} >= {"structure"}


@pytest.mark.parametrize(
    "mark",
    [
        {"files": [{"name": "x"}]},
        {"files": 3},
        {"files": ["x"]},
        {"bytes": None},
        {"bits_per_weight": "many"},
    ],
    ids=range(5),
)
def test_a_mark_of_another_shape_does_not_stop_the_referee(
    mark: dict[str, object], good: Callable[[str], Path], workshop: Workshop
) -> None:
    folder = good("4bit")
    (folder / "hubbot.json").write_text(json.dumps({"made_by": "hubbot", **mark}))
    assert isinstance(workshop.report(SOURCE, folder), Report)


def test_a_config_that_divides_by_zero_is_refused(good: Callable[[str], Path], workshop: Workshop) -> None:
    folder = good("4bit")
    edit_json(folder / "config.json", num_attention_heads=0)
    rehash(folder)
    assert workshop.report(SOURCE, folder).verdict == "refused"


@pytest.mark.parametrize("how", ["changed", "lost", "added"])
def test_a_tokenizer_that_is_not_the_sources_is_refused(how: str, workshop: Workshop, tmp_path: Path) -> None:
    shutil.copytree(workshop.source(SOURCE).folder, tmp_path / "source")
    if how != "added":
        (tmp_path / "source" / "tokenizer.json").write_text('{"version": "1.0"}')
    source = look(tmp_path / "source")
    folder = converted(source, tmp_path / "out", "4bit")["4bit"]
    if how == "lost":
        (folder / "tokenizer.json").unlink()
    else:
        (folder / "tokenizer.json").write_text('{"version": "2.0"}')
    rehash(folder)
    assert judged(source, folder).verdict == "refused"


def test_weights_that_were_rounded_to_three_bits_before_are_not_approved_as_four(
    good: Callable[[str], Path], workshop: Workshop
) -> None:
    folder = good("4bit")
    broken = Broken(folder, read_folder(folder), read_config(folder))
    path = "model.layers.0.mlp.switch_mlp.down_proj"
    coarse = Broken(folder, read_folder(workshop.artifact(SOURCE, "3bit")), read_config(folder))
    coarse.config["quantization"] = {"mode": "affine", "bits": 3, "group_size": 64}
    broken.store(path, coarse.values(path), broken.block(path))
    rewrite(folder, broken.tensors)
    assert workshop.report(SOURCE, folder).verdict == "refused"


@pytest.mark.parametrize("key", ["eos_token_id", "bos_token_id"])
def test_another_end_of_text_is_refused(key: str, good: Callable[[str], Path], workshop: Workshop) -> None:
    folder = good("4bit")
    edit_json(folder / "config.json", **{key: 77})
    rehash(folder)
    assert workshop.report(SOURCE, folder).verdict == "refused"
