"""The runbook, the workflow and the container file name only what there is."""

import re
from pathlib import Path

import typer
import yaml

from hubbot.cli import main as door
from hubbot.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
ROOT = DEPLOY.parent
COMMANDS = typer.main.get_command(door.app).commands  # type: ignore[attr-defined]


def words(text: str) -> list[list[str]]:
    """Every `hubbot ...` of a text, in words."""
    return [found.split() for found in re.findall(r"hubbot ((?:[a-z]+)(?: [^`\n\"]+)?)", text)]


def test_every_command_and_option_of_the_runbook_exists() -> None:
    text = (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
    quoted = re.findall(r"`hubbot ([^`]+)`", text)
    assert len(quoted) > 15
    for line in quoted:
        command, *rest = line.split()
        options = {name for parameter in COMMANDS[command].params for name in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, line


def test_every_setting_script_and_error_of_the_runbook_exists() -> None:
    text = (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
    for name in ("org", "notify", "runner", "keep_days", "quiet_hours", "database_url"):
        assert name in Settings.model_fields
        assert name in text
    for script in set(re.findall(r"`(deploy/[a-z]+)`", text)):
        assert (ROOT / script).is_file(), script


def test_the_workflow_runs_on_a_mac_of_ones_own_by_the_clock_and_by_hand() -> None:
    flow = yaml.safe_load((DEPLOY / "github" / "hubbot.yml").read_text(encoding="utf-8"))
    starts = flow[True]  # YAML reads `on` as a truth
    assert set(starts) == {"schedule", "workflow_dispatch"}
    job = flow["jobs"]["run"]
    assert job["runs-on"] == ["self-hosted", "macOS", "ARM64"]
    assert flow["concurrency"]["cancel-in-progress"] is False
    assert flow["permissions"] == {"contents": "read"}
    assert job["env"]["HUBBOT_RUNNER"] not in {"", "${{ runner.name }}"}
    for step in job["steps"]:
        # What somebody types must never be read by the shell as a command.
        assert "${{" not in step.get("run", ""), step
        for command, *rest in words(step.get("run", "")):
            options = {name for parameter in COMMANDS[command].params for name in parameter.opts}
            assert {word for word in rest if word.startswith("--")} <= options


def test_the_container_file_copies_what_there_is_and_runs_as_nobody_special() -> None:
    lines = (DEPLOY / "Containerfile").read_text(encoding="utf-8").splitlines()
    steps = [line.split() for line in lines if line and not line.startswith(("#", " "))]
    assert steps[0][0] == "FROM"
    for step in steps:
        if step[0] == "COPY":
            assert all((ROOT / source).exists() for source in step[1:-1]), step
    assert ["USER", "hubbot"] in steps
    assert not any("TOKEN" in line or "SECRET" in line for line in lines)
    assert 'CMD ["serve", "--host", "0.0.0.0", "--port", "8765"]' in lines
