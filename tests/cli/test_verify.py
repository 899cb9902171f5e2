"""verify: approved or refused, whoever made the artifact."""

import shutil
from pathlib import Path

from tests.checkpoints_on_disk import read_folder, rewrite
from tests.cli.conftest import Shell


def test_a_faithful_artifact_is_approved(hubbot: Shell, converted: Path) -> None:
    ended = hubbot("verify", str(converted / "source"), str(converted / "out" / "4bit"), "--json")
    assert ended.code == 0
    assert set(ended.json) == {"verdict", "gates", "findings", "seconds"}
    assert set(ended.json["seconds"]) == {"hashing", *ended.json["gates"]}
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
