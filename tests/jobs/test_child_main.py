"""Only stages of the allow-list run; test_child.py has the conversation itself."""

from pathlib import Path

import pytest

from hubbot.errors import WrongUsage
from hubbot.jobs.child_main import STAGES, stage_function
from hubbot.lifecycle import Stage


def test_the_allowed_stages_are_stages_of_a_job_or_their_windows() -> None:
    # `hubbot verify` judges folders beside any job; pickled weights are staged as part of the fetch.
    windows = {"open_windows", "convert_window", "judge_window", "finish_windows"}
    assert set(STAGES) - {"verify_folder", "stage"} - windows <= set(Stage)
    assert {name for name, place in STAGES.items() if place.startswith("hubbot.jobs.window_stages:")} == windows
    assert {place.partition(":")[0] for place in STAGES.values()} == {
        "hubbot.jobs.child_stages",
        "hubbot.jobs.window_stages",
    }


def test_another_allow_list_is_taken_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    assert stage_function(["echo", "--stages", "tests.jobs.harmless"])({"x": 1}, print) == {"heard": {"x": 1}}


@pytest.mark.parametrize("arguments", [["publish"], ["watch"], ["echo"]])
def test_a_stage_outside_of_the_list_is_refused(arguments: list[str]) -> None:
    with pytest.raises(WrongUsage, match="may run in a child"):
        stage_function(arguments)


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--stage", "b"]])
def test_other_words_are_the_callers_mistake(arguments: list[str]) -> None:
    with pytest.raises(WrongUsage, match="usage"):
        stage_function(arguments)
