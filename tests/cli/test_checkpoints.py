"""inspect, convert, verify and smoke: the JSON that scripts rely on, and what is written where."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hubbot.devhub.demo_repos import DemoRepo
from tests.checkpoints_on_disk import read_folder, rewrite
from tests.cli.conftest import Shell
from tests.hub.embedded import ORG, Site

INSPECT_KEYS = {
    "repo", "revision", "model_type", "is_moe", "verdict", "layout", "num_experts", "experts_per_token",
    "moe_layers", "layers", "shared_experts", "mtp", "vision", "tied", "parameters", "runtime", "evidence",
    "requests", "bytes_read",
}  # fmt: skip
LAYOUT_KEYS = {"naming", "stacking", "order", "orientation", "packing"}
# A hint beside the verdict, for people.
INSPECT_EXTRA = {"hint"}
CONVERT_KEYS = {"source", "revision", "layout", "variants", "dropped", "seconds", "peak_memory_bytes"}


def snapshot(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory, exhibits: dict[str, DemoRepo]) -> Path:
    """A folder with source/ and out/4bit/, made by the command itself, once."""
    from tests.checkpoints_on_disk import converted as convert  # noqa: PLC0415
    from tests.checkpoints_on_disk import look  # noqa: PLC0415

    root = tmp_path_factory.mktemp("converted")
    source = root / "source"
    shutil.copytree(exhibits["Fox-8x-MoE-fused"].folder, source)
    convert(look(source), root / "out", "4bit")
    return root


# inspect


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


def test_markup_in_a_checkpoint_stays_text(hubbot: Shell, fox: Path) -> None:
    config = json.loads((fox / "config.json").read_text())
    (fox / "config.json").write_text(json.dumps(config | {"model_type": "[bold]evil[/nonsense]"}))
    ended = hubbot("inspect", str(fox))
    assert ended.code == 0
    assert "[bold]evil[/nonsense]" in ended.out


# convert


def test_a_dry_run_plans_and_writes_nothing(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    before = snapshot(fox)
    ended = hubbot("convert", str(fox), "--out", str(tmp_path / "out"), "--variant", "4bit", "--dry-run", "--json")
    assert ended.code == 0
    assert [variant["name"] for variant in ended.json["variants"]] == ["4bit"]
    assert ended.json["disk_bytes"] >= ended.json["variants"][0]["bytes"] > 0
    assert not (tmp_path / "out").exists()
    assert snapshot(fox) == before


def test_a_dry_run_of_a_repo_reads_only_headers(hubbot: Shell, site: Site, tmp_path: Path) -> None:
    site.faults.clear()
    out = tmp_path / "out"
    ended = hubbot("convert", "fables/Fox-8x-MoE-fused", "--out", str(out), "-v", "8bit", "--dry-run", "--json")
    assert ended.code == 0
    assert not out.exists()
    assert site.faults.bytes_sent("GET", "safetensors") <= 128 << 10


def test_a_conversion_writes_a_folder_per_variant_and_says_so(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    arguments = ("--out", str(tmp_path / "out"), "--variant", "bf16", "--variant", "4bit", "--variant", "4bit")
    ended = hubbot("convert", str(fox), *arguments, "--json")
    assert ended.code == 0
    assert set(ended.json) == CONVERT_KEYS
    assert [set(variant) for variant in ended.json["variants"]] == [
        {"name", "path", "bytes", "bits_per_weight"}
    ] * 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bf16", "4bit"}
    for variant in ended.json["variants"]:
        folder = Path(variant["path"])
        assert folder == tmp_path / "out" / variant["name"]
        assert json.loads((folder / "hubbot.json").read_text())["verified"] is False
        assert (folder / "README.md").is_file()
    assert 15.9 < ended.json["variants"][0]["bits_per_weight"] <= 16.5
    again = hubbot("convert", str(fox), *arguments, "--json")
    assert again.code == 0


def test_a_folder_in_the_way_that_is_not_hubbots_is_left_alone(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    precious = tmp_path / "out" / "4bit" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("three years of work")
    ended = hubbot("convert", str(fox), "--out", str(tmp_path / "out"), "--variant", "4bit", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "WrongUsage")
    assert precious.read_text() == "three years of work"


def test_an_unknown_variant_is_wrong_usage(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    ended = hubbot("convert", str(fox), "--out", str(tmp_path / "out"), "--variant", "9bit", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "WrongUsage")
    assert "4bit" in ended.json["error"]["hint"]
    assert not (tmp_path / "out").exists()


def test_an_out_that_cannot_be_a_folder_is_wrong_usage(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = hubbot("convert", str(fox), "--out", str(tmp_path / "file"), "--variant", "4bit", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "WrongUsage")


@pytest.mark.parametrize(("name", "code"), [("Hare-dense", 3), ("Fox-8x-MoE-broken", 4)])
def test_what_is_not_to_be_converted_says_why(
    hubbot: Shell, exhibits: dict[str, DemoRepo], tmp_path: Path, name: str, code: int
) -> None:
    ended = hubbot("convert", str(exhibits[name].folder), "--out", str(tmp_path / "out"), "--json")
    assert ended.code == code
    assert set(ended.json) == {"error"}
    assert not (tmp_path / "out").exists()


def test_a_repo_is_fetched_converted_verified_and_its_download_removed(
    hubbot: Shell, site: Site, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = hubbot("convert", "fables/Fox-8x-MoE-sharded", "--out", str(out), "-v", "8bit", "--verify", "--json")
    assert ended.code == 0
    assert ended.json["verified"] == {"8bit": "approved"}
    assert ended.json["revision"] == site.client().head("fables/Fox-8x-MoE-sharded")
    assert [path.name for path in out.iterdir()] == ["8bit"]
    assert json.loads((out / "8bit" / "hubbot.json").read_text())["verified"] is True
    assert (out / "8bit" / "report.json").is_file()


# verify


def test_a_faithful_artifact_is_approved(hubbot: Shell, converted: Path) -> None:
    ended = hubbot("verify", str(converted / "source"), str(converted / "out" / "4bit"), "--json")
    assert ended.code == 0
    assert set(ended.json) == {"verdict", "gates", "findings"}
    assert set(ended.json["gates"]) == {"structure", "tracer", "values", "parity", "behaviour"}
    assert set(ended.json["findings"][0]) == {
        "gate", "check", "subject", "measured", "allowed", "status", "reason",
    }  # fmt: skip
    assert ended.json["verdict"] == "approved"


def test_behaviour_is_measured_on_a_text_of_ones_own(hubbot: Shell, converted: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "stories.txt"
    corpus.write_text("Once upon a time there was a shy fox named Fenn. He lived under an old oak tree. " * 60)
    words = ("verify", str(converted / "source"), str(converted / "out" / "4bit"), "--corpus", str(corpus))
    ended = hubbot(*words, "--json")
    assert ended.json["gates"]["behaviour"] == "pass"
    (tier,) = [finding for finding in ended.json["findings"] if finding["check"] == "tier"]
    assert tier["measured"]["kl_mean"] > 0
    assert "behaviour is good" in hubbot(*words).out or "behaviour is marginal" in hubbot(*words).out
    assert hubbot(*words[:-1], str(tmp_path / "missing.txt")).code == 2


def test_a_false_artifact_is_refused_with_exit_1_and_still_one_json_document(
    hubbot: Shell, converted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "4bit"
    shutil.copytree(converted / "out" / "4bit", folder)
    stored = read_folder(folder)
    gate, up = (f"model.layers.0.mlp.switch_mlp.{part}_proj" for part in ("gate", "up"))
    for part in ("weight", "scales", "biases"):
        stored[f"{gate}.{part}"], stored[f"{up}.{part}"] = stored[f"{up}.{part}"], stored[f"{gate}.{part}"]
    rewrite(folder, stored)
    ended = hubbot("verify", str(converted / "source"), str(folder), "--json")
    assert ended.code == 1
    assert ended.json["verdict"] == "refused"
    assert ended.json["gates"]["values"] == "fail"
    plain = hubbot("verify", str(converted / "source"), str(folder))
    assert plain.code == 1
    assert "refused" in plain.out


def test_an_artifact_that_is_not_there_is_missing(hubbot: Shell, fox: Path, tmp_path: Path) -> None:
    ended = hubbot("verify", str(fox), str(tmp_path / "absent"), "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (3, "RepoMissing")


# smoke


def test_an_artifact_speaks(hubbot: Shell, converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBOT_SMOKE_TOKENS", "24")
    ended = hubbot("smoke", str(converted / "out" / "4bit"), "--json")
    assert ended.code == 0
    promised = {"samples", "warnings", "peak_memory_bytes", "upcast_to_float32", "device"}
    assert set(ended.json) == promised | {"kind", "seed", "utilisation"}
    for sample in ended.json["samples"]:
        assert 0 < sample["tokens"] <= 24
        assert len(sample["text"].split()) > 3


def test_an_artifact_on_the_hub_is_fetched_and_refused_where_it_does_not_speak(
    hubbot: Shell, site: Site, converted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mute"
    shutil.copytree(converted / "out" / "4bit", folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    site.embedded.seed(f"{ORG}/mute", folder)
    ended = hubbot("smoke", f"{ORG}/mute", "--json")
    assert ended.code == 1
    assert set(ended.json) == {"error"}
