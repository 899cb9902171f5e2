"""The scripts are POSIX sh, the service files are what launchd and systemd parse, and old Pythons are told so."""

import configparser
import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
SCRIPTS = ("try", "test", "install", "upgrade", "uninstall", "environment.sh")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_parses_as_posix_sh(name: str) -> None:
    shell = shutil.which("dash") or "sh"
    subprocess.run([shell, "-n", str(DEPLOY / name)], check=True)


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "environment.sh"])
def test_a_script_can_be_run(name: str) -> None:
    assert os.access(DEPLOY / name, os.X_OK)
    assert (DEPLOY / name).read_text(encoding="utf-8").startswith("#!/bin/sh\n")


def test_launchd_would_keep_the_bot_running() -> None:
    agent = plistlib.loads((DEPLOY / "hubbot.plist").read_bytes())
    assert agent["Label"] == "hubbot"
    assert agent["ProgramArguments"] == ["@PROGRAM@", "run"]
    assert agent["KeepAlive"] is True
    assert agent["RunAtLoad"] is True
    assert agent["ProcessType"] == "Standard"
    assert "EnvironmentVariables" not in agent  # a token has no place in a file that everybody can read


def test_systemd_would_keep_the_bot_running() -> None:
    unit = configparser.ConfigParser()
    unit.read(DEPLOY / "hubbot.service", encoding="utf-8")
    assert unit["Service"]["ExecStart"] == "@PROGRAM@ run"
    assert unit["Service"]["Restart"] == "always"


def test_a_machine_with_only_an_old_python_is_told_what_is_missing(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname", "rm", "cmp", "cp", "tr", "pwd"):
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    old = tools / "python3"
    # Answers as an interpreter of 3.9 would: no to "is it new enough", yes to "which version are you".
    old.write_text('#!/bin/sh\ncase "$2" in *version_info*) exit 1 ;; *) echo 3.9.18 ;; esac\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["sh", str(DEPLOY / "try")],
        env={"PATH": str(tools), "HOME": str(tmp_path), "HUBBOT_ENVIRONMENT": str(tmp_path / "env")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "3.9.18" in done.stderr
    assert sys.version_info >= (3, 11)
