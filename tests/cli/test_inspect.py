"""inspect: the JSON that scripts rely on, and the page for people."""

import json
from pathlib import Path
from typing import Any

import pytest

from hubbot.devhub.demo_repos import DemoRepo
from tests.checkpoints_on_disk import CONVERTIBLE, Workshop, read_folder, workshop
from tests.cli.conftest import Shell
from tests.hub.embedded import Site

__all__ = ["workshop"]

INSPECT_KEYS = {
    "repo", "revision", "model_type", "is_moe", "verdict", "layout", "num_experts", "experts_per_token",
    "moe_layers", "layers", "shared_experts", "mtp", "vision", "tied", "parameters", "runtime", "modality",
    "evidence",
    "requests", "bytes_read",
}  # fmt: skip
LAYOUT_KEYS = {"naming", "stacking", "order", "orientation", "packing"}
# A hint beside the verdict, for people, and all names of which it shows a few.
INSPECT_EXTRA = {"hint", "names"}


def assert_promised(record: dict[str, Any]) -> None:
    assert set(record) - INSPECT_EXTRA == INSPECT_KEYS
    if record["layout"] is not None:
        assert set(record["layout"]) == LAYOUT_KEYS
    if record["parameters"] is not None:
        assert set(record["parameters"]) == {"total", "active"}
    assert isinstance(record["evidence"], list)


def test_a_folder_and_its_repo_have_the_same_verdict(hubbot: Shell, site: Site, fox: Path) -> None:
    site.faults.clear()
    local, remote = hubbot("inspect", str(fox), "--json"), hubbot("inspect", "fables/Fox-8x-MoE-fused", "--json")
    assert (local.code, remote.code) == (0, 0)
    assert_promised(local.json)
    assert_promised(remote.json)
    differ = {key for key in INSPECT_KEYS if local.json[key] != remote.json[key]}
    assert differ <= {"repo", "revision", "requests", "bytes_read"}
    assert remote.json["repo"] == "fables/Fox-8x-MoE-fused"
    assert len(remote.json["revision"]) == 40
    assert remote.json["requests"] < 10
    assert site.faults.bytes_sent("GET", "/resolve/") == remote.json["bytes_read"]


def test_the_record_says_what_the_checkpoint_is(hubbot: Shell, fox: Path) -> None:
    record = hubbot("inspect", str(fox), "--json").json
    config = json.loads((fox / "config.json").read_text())
    assert (record["model_type"], record["is_moe"], record["verdict"]) == ("qwen3_moe", True, "convertible")
    assert record["num_experts"] == config["num_local_experts"]
    assert record["experts_per_token"] == config["num_experts_per_tok"]
    assert record["layers"] == record["moe_layers"] == config["num_hidden_layers"]
    assert record["parameters"]["total"] == sum(bits.size for _, bits in read_folder(fox).values())
    assert 0 < record["parameters"]["active"] < record["parameters"]["total"]
    assert record["layout"]["stacking"] == "stacked"
    assert record["evidence"]


@pytest.mark.parametrize(
    ("name", "verdict", "is_moe"),
    [
        ("Fox-8x-MoE-per-expert", "convertible", True),
        ("Fox-8x-MoE-sharded", "convertible", True),
        ("Owl-8x-Mixtral", "convertible", True),
        ("Hare-dense", "not-moe", False),
        ("Fox-8x-MoE-broken", "incomplete", True),
    ],
)
def test_every_exhibit_has_its_verdict_and_exits_0(
    hubbot: Shell, exhibits: dict[str, DemoRepo], name: str, verdict: str, is_moe: bool
) -> None:
    ended = hubbot("inspect", str(exhibits[name].folder), "--json")
    assert ended.code == 0
    assert_promised(ended.json)
    assert (ended.json["verdict"], ended.json["is_moe"]) == (verdict, is_moe)


@pytest.mark.parametrize("config", [b"{", b"[]", b"\xff\xfe"])
def test_a_broken_checkpoint_is_a_verdict_too(hubbot: Shell, fox: Path, config: bytes) -> None:
    (fox / "config.json").write_bytes(config)
    ended = hubbot("inspect", str(fox), "--json")
    assert ended.code == 0
    assert_promised(ended.json)
    assert ended.json["verdict"] == "corrupt"


def test_people_get_a_page(hubbot: Shell, fox: Path) -> None:
    ended = hubbot("inspect", str(fox))
    assert ended.code == 0
    for word in ("convertible", "qwen3_moe", "8 experts, 2 per token", "- "):
        assert word in ended.out


def test_a_weight_file_is_listed_with_names_dtypes_and_shapes(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    file = fox / "model.safetensors"
    linked = tmp_path / "model.safetensors"
    linked.symlink_to(file)
    (fox / "config.json").unlink()
    stored = read_folder(fox)
    for path in (file, linked):
        listed = hubbot("inspect", str(path), "--json").json
        assert {tensor["name"]: (tensor["dtype"], tuple(tensor["shape"])) for tensor in listed["tensors"]} == {
            name: (dtype, bits.shape) for name, (dtype, bits) in stored.items()
        }
        assert listed["elements"] == sum(bits.size for _, bits in stored.values())
    lines = hubbot("inspect", str(file)).out.splitlines()
    assert len(lines) == len(stored) + 1
    name, (dtype, bits) = min(stored.items())
    assert lines[0] == f"{name}  {dtype} {list(bits.shape)}"


def test_a_pickled_weight_file_is_listed_too(hubbot: Shell, tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch")
    for name in ("pytorch_model.bin", "any name.pt"):
        torch.save({"b": torch.zeros(2, 3, dtype=torch.bfloat16), "a": torch.ones(4)}, tmp_path / name)
        listed = hubbot("inspect", str(tmp_path / name), "--json").json["tensors"]
        assert [(tensor["name"], tensor["dtype"], tensor["shape"]) for tensor in listed] == [
            ("a", "F32", [4]),
            ("b", "BF16", [2, 3]),
        ]


def test_a_file_that_is_torn_or_of_another_kind_is_refused_by_name(hubbot: Shell, fox: Path) -> None:
    file = fox / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    torn = hubbot("inspect", str(file), "--json")
    assert (torn.code, torn.json["error"]["kind"]) == (1, "CorruptHeader")
    assert "model.safetensors" in str(torn.json["error"])
    other = hubbot("inspect", str(fox / "config.json"), "--json")
    assert (other.code, other.json["error"]["kind"]) == (2, "WrongUsage")
    assert ".safetensors or .bin" in other.json["error"]["message"]


def test_the_page_says_that_weights_are_packed(hubbot: Shell, workshop: Workshop) -> None:
    packed = workshop.source(next(made.name for made in CONVERTIBLE if "fp8" in made.name))
    assert f"its weights are packed: {packed.layout.packing}" in hubbot("inspect", str(packed.folder)).out


def test_markup_in_a_checkpoint_stays_text(hubbot: Shell, fox: Path) -> None:
    config = json.loads((fox / "config.json").read_text())
    (fox / "config.json").write_text(json.dumps(config | {"model_type": "[bold]evil[/nonsense]"}))
    ended = hubbot("inspect", str(fox))
    assert ended.code == 0
    assert "[bold]evil[/nonsense]" in ended.out


def test_every_tensor_of_a_checkpoint_is_listed_when_asked_for(hubbot: Shell, fox: Path) -> None:
    listed = hubbot("inspect", str(fox), "--tensors", "--json").json["tensors"]
    names = [tensor["name"] for tensor in listed]
    assert names == sorted(names)
    assert "model.embed_tokens.weight" in names
    assert set(listed[0]) == {"name", "dtype", "shape", "bytes"}
    assert "model.embed_tokens.weight  " in hubbot("inspect", str(fox), "--tensors").out


def test_an_mlx_repo_is_judged_by_itself(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    assert hubbot("convert", str(fox), "--out", str(tmp_path / "out"), "--variant", "4bit").code == 0
    ended = hubbot("inspect", str(tmp_path / "out" / "4bit"), "--strict")
    assert (ended.code, "experts of every layer" in ended.out) == (0, True)
