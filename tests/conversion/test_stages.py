"""One order of the stages, whoever runs them; each hands over through the workspace."""

from pathlib import Path

import pytest

from hubbot.conversion import stages
from hubbot.conversion.conversion import reading_in_place
from hubbot.conversion.in_folder import whole_source
from hubbot.errors import NoRuntime, WorkLost
from hubbot.lifecycle import Stage
from hubbot.steps.card import Setting
from tests.conversion.conversions import conversion_of
from tests.reference.checkpoints import case, write


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(case("qwen3_moe/hub"), tmp_path / "source")


def test_the_stages_are_those_of_a_job_up_to_verify_in_its_order() -> None:
    assert list(stages.STAGES) == list(Stage)[: len(stages.STAGES)]
    assert list(stages.STAGES)[-1] is Stage.VERIFY


def test_they_run_in_that_order_however_they_are_named(source: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    conversion = conversion_of(source, tmp_path / "work", asked=asked, variants=("8bit",), strategy=whole_source)
    checkpoint = stages.inspect(conversion)
    conversion = reading_in_place(conversion, checkpoint)
    stages.run(conversion, (Stage.VERIFY, Stage.CONVERT, Stage.FETCH, Stage.PLAN, Stage.CLASSIFY))
    assert asked == ["plan", "convert", "verify"]
    assert conversion.workspace.report("8bit").verdict == "approved"
    reports = [conversion.workspace.report("8bit")]
    made = conversion.workspace.artifacts()
    stages.write_cards(conversion, made, reports, {}, lambda variant: f"me/moe-{variant}", setting=Setting())
    assert "me/moe-8bit" in (conversion.workspace.variant("8bit") / "README.md").read_text("utf-8")


def test_a_stage_that_refuses_ends_the_run(tmp_path: Path) -> None:
    asked: list[str] = []
    source = write(case("ernie4_5_moe/orig"), tmp_path / "ernie")
    conversion = conversion_of(source, tmp_path / "work", asked=asked, variants=("8bit",), extensions=False)
    with pytest.raises(NoRuntime, match=r"ernie4_5_moe\.py"):
        stages.run(conversion, list(Stage)[:3])
    assert asked == []
    assert conversion.workspace.has("checkpoint")
    assert not conversion.workspace.has("layout")


def test_a_stage_without_its_input_says_that_the_work_is_lost(source: Path, tmp_path: Path) -> None:
    conversion = conversion_of(source, tmp_path / "work", variants=("8bit",), strategy=whole_source)
    for stage in (stages.classify, stages.plan, stages.fetch, stages.convert, stages.verify):
        with pytest.raises(WorkLost):
            stage(conversion)


def test_any_folder_is_judged_against_the_source(source: Path, tmp_path: Path) -> None:
    conversion = conversion_of(source, tmp_path / "work", variants=("8bit",), strategy=whole_source)
    conversion = reading_in_place(conversion, stages.inspect(conversion))
    stages.run(conversion, list(Stage)[1:5])
    folder = conversion.workspace.variant("8bit").rename(tmp_path / "elsewhere")
    assert stages.judge_folder(conversion, folder).verdict == "approved"
    (folder / "config.json").write_text("{}")
    assert stages.judge_folder(conversion, folder).verdict == "refused"
