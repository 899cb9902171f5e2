"""Only stages of the allow-list run; test_child.py has the conversation itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hubbot.errors import WrongUsage
from hubbot.jobs.child_main import STAGES, stage_function
from hubbot.lifecycle import Stage
from tests.jobs import harmless

ROOT = Path(__file__).parents[2]


def test_the_allowed_stages_are_stages_of_a_job_or_their_windows() -> None:
    # `hubbot verify` judges folders beside any job; pickled weights are staged as part of the fetch.
    windows = {"open_windows", "convert_window", "judge_window", "finish_windows"}
    assert set(STAGES) - {"verify_folder", "stock_form", "stage", "draw", "upload"} - windows <= set(Stage)
    assert {
        name for name, place in STAGES.items() if place.startswith("hubbot.conversion.window_stages:")
    } == windows
    assert {place.partition(":")[0] for place in STAGES.values()} == {
        "hubbot.conversion.child_stages",
        "hubbot.conversion.window_stages",
        "hubbot.plots.drawing",
        "hubbot.hub.uploads",
    }


def test_another_allow_list_is_an_argument() -> None:
    assert stage_function("echo", harmless.STAGES)({"x": 1}, print) == {"heard": {"x": 1}}


@pytest.mark.parametrize("stage", ["publish", "watch", "echo", "os:system"])
def test_a_stage_outside_of_the_list_is_refused(stage: str) -> None:
    with pytest.raises(WrongUsage, match="may run in a child"):
        stage_function(stage)


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["plan", "--stages", "tests.jobs.harmless"]])
def test_other_words_are_the_callers_mistake(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "hubbot.jobs.child_main", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"{}\n")
        process.stdin.flush()
        error = json.loads(process.stdout.readline())["error"]
    assert (error["kind"], error["message"].partition(":")[0]) == ("WrongUsage", "usage")
