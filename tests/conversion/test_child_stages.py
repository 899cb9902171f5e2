"""The heavy stages, called as the child calls them: paths in, plain JSON out, everything else in the folder."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hubbot.checks.behaviour import measurement
from hubbot.conversion import child_stages
from hubbot.conversion.workspace import Workspace
from hubbot.errors import SmokeFailed, WorkLost
from hubbot.folders import Folder
from hubbot.steps.classify import classify
from hubbot.steps.inspect import inspect
from tests.reference.checkpoints import case, write

BOUNDS = {"working_bytes": 1 << 16, "shard_bytes": 1 << 30}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A job's folder as it stands before plan, the weights fetched."""
    made = Workspace(root=tmp_path / "job-1")
    checkpoint = inspect(Folder(write(case("qwen3_moe/hub"), made.source)))
    made.save("checkpoint", checkpoint.to_json())
    made.save_layout(classify(checkpoint))
    return made


def run(stage: str, workspace: Workspace, **request: Any) -> tuple[dict[str, Any], list[tuple[int, int, str]]]:
    told: list[tuple[int, int, str]] = []
    answer = getattr(child_stages, stage)(
        {"root": str(workspace.root), **request}, lambda *progress: told.append(progress)
    )
    assert json.loads(json.dumps(answer)) == json.loads(json.dumps(dict(answer)))
    return answer, told


def test_plan_convert_and_verify_hand_over_through_the_folder(workspace: Workspace) -> None:
    planned, _ = run("plan", workspace, variants=["bf16", "8bit"], working_bytes=1 << 16, text_only=False)
    assert planned["memory_bytes"] > 0
    assert planned["disk_bytes"] > 0
    assert set(planned["versions"]) == {"hubbot", "mlx", "mlx-lm"}
    converted, told = run("convert", workspace, **BOUNDS)
    assert [made["variant"] for made in converted["variants"]] == ["bf16", "8bit"]
    assert told[-1][0] == told[-1][1] > 0
    assert (workspace.variant("8bit") / "hubbot.json").is_file()
    verified, told = run("verify", workspace, variants=["bf16", "8bit"])
    assert verified == {"bf16": "approved", "8bit": "approved"}
    assert workspace.report("bf16").verdict == "approved"
    assert told


def test_the_unquantized_models_answers_serve_all_variants_and_are_dropped(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("plan", workspace, variants=["bf16", "8bit"], working_bytes=1 << 16, text_only=False)
    run("convert", workspace, **BOUNDS)
    asked: list[Path] = []
    real = measurement.answer

    def counted(*args: Any) -> Any:
        asked.append(args[2])
        return real(*args)

    monkeypatch.setattr(measurement, "answer", counted)
    bounds = {"corpus": None, "tokens": 64, "seconds": 600.0, "memory_bytes": None}
    verified, _ = run("verify", workspace, variants=["bf16", "8bit"], examination=bounds)
    assert verified == {"bf16": "approved", "8bit": "approved"}
    assert asked == [workspace.answers]
    assert not workspace.answers.exists()
    assert workspace.report("8bit").measurements["divergence"]["kl_mean"]["value"] > 0


def test_a_stage_without_its_input_says_that_the_work_is_lost(workspace: Workspace) -> None:
    (workspace.root / "layout.json").unlink()
    with pytest.raises(WorkLost):
        run("plan", workspace, variants=["bf16"], working_bytes=1 << 16, text_only=False)
    with pytest.raises(WorkLost):
        run("convert", workspace, **BOUNDS)


def test_any_folder_can_be_judged_without_a_plan(workspace: Workspace) -> None:
    run("plan", workspace, variants=["bf16"], working_bytes=1 << 16, text_only=False)
    run("convert", workspace, **BOUNDS)
    request = {"source": str(workspace.source), "artifact": str(workspace.variant("bf16"))}
    report, _ = run("verify_folder", workspace, **request)
    assert report["verdict"] == "approved"
    (workspace.variant("bf16") / "config.json").write_text("{}")
    report, _ = run("verify_folder", workspace, **request)
    assert report["verdict"] == "refused"


def test_an_artifact_without_a_tokenizer_does_not_speak(workspace: Workspace) -> None:
    run("plan", workspace, variants=["bf16"], working_bytes=1 << 16, text_only=False)
    run("convert", workspace, **BOUNDS)
    with pytest.raises(SmokeFailed):
        child_stages.smoke({"folder": str(workspace.variant("bf16")), "max_tokens": 4}, print)


def test_the_childs_stages_load_neither_database_nor_hub_nor_command_line() -> None:
    code = (
        "import sys, hubbot.conversion.child_stages;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    root = str(Path(child_stages.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    unwanted = {"sqlalchemy", "sqlmodel", "typer", "apscheduler", "starlette"}
    if importlib.util.find_spec("torch") is None:  # where it is installed, transformers imports it by itself
        unwanted.add("torch")
    assert not unwanted & set(done.stdout.split())
