"""Installers delete nothing of others, quote every path, restart what runs, and put back what ran before."""

import os
import plistlib
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ODD = "env x&y|z %n $HOME 'q' <b>"


def environment(place: Path) -> Path:
    """An environment in which hubbot is installed already, as far as the scripts look."""
    (place / "bin").mkdir(parents=True)
    (place / "pyvenv.cfg").write_text("made by hand\n")
    # A link would lead Python to the home of the interpreter, and a copy to none.
    script(place / "bin" / "python", f'exec {shlex.quote(sys.executable)} "$@"')
    script(place / "bin" / "hubbot", "exit 0")
    (place / ".hubbot").write_bytes((ROOT / "pyproject.toml").read_bytes())
    return place


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run(name: str, home: Path, place: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": f"{home / 'tools'}:{os.environ['PATH']}", "HOME": str(home), "HUBBOT_ENVIRONMENT": str(place),
        "HUBBOT_SECONDS_TO_START": "0", **more,
    }  # fmt: skip
    command = ["sh", str(ROOT / "deploy" / name), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("where", ["beside", "inside an environment"])
def test_a_folder_with_data_is_never_deleted(tmp_path: Path, where: str) -> None:
    place = tmp_path / "precious"
    (place / "photos").mkdir(parents=True)
    (place / "photos" / "one").write_text("irreplaceable")
    if where != "beside":
        (place / "pyvenv.cfg").write_text("home = nowhere\n")
        (place / "lib").mkdir()
        (place / "lib" / "two").write_text("irreplaceable")
    script(tmp_path / "tools" / "python3", "exit 1")
    done = run("try", tmp_path, place)
    assert done.returncode == 1
    assert "touched" in done.stderr
    assert (place / "photos" / "one").read_text() == "irreplaceable"
    assert where == "beside" or (place / "lib" / "two").exists()


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one").write_text("irreplaceable")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert run("try", tmp_path, tmp_path / "link").returncode == 1
    assert (tmp_path / "data" / "one").exists()


@pytest.mark.parametrize("system", ["Darwin", "Linux"])
def test_odd_characters_of_a_path_arrive_in_the_service_file(tmp_path: Path, system: str) -> None:
    place = environment(tmp_path / ODD)
    script(tmp_path / "tools" / "uname", f"echo {system}")
    done = run("install", tmp_path, place, "--print")
    assert done.returncode == 0, done.stderr
    program = str(place / "bin" / "hubbot")
    if system == "Darwin":
        agent = plistlib.loads(done.stdout.encode())
        assert agent["ProgramArguments"] == [program, "run"]
        assert agent["StandardOutPath"] == f"{tmp_path}/Library/Logs/hubbot.log"
        return
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ExecStart=")]
    escaped = program.replace("%", "%%").replace("$", "$$")
    assert line == f'ExecStart="{escaped}" run'


def fake_linux(home: Path, *, starts: str) -> Path:
    """A systemctl that writes down what it is told; `starts` says with shell whether the service is active."""
    script(home / "tools" / "uname", "echo Linux")
    told = home / "told"
    script(home / "tools" / "systemctl", f'echo "$@" >> "{told}"\ncase "$*" in *is-active*) {starts} ;; esac')
    return told


def test_installing_again_restarts_the_service_that_runs(tmp_path: Path) -> None:
    place = environment(tmp_path / "env")
    told = fake_linux(tmp_path, starts="exit 0")
    for _ in range(2):
        assert run("install", tmp_path, place).returncode == 0
    assert told.read_text().count("restart hubbot.service") == 2


def test_what_ran_before_is_put_back_where_the_new_service_does_not_start(tmp_path: Path) -> None:
    unit = tmp_path / ".config" / "systemd" / "user" / "hubbot.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("the old one")
    place = environment(tmp_path / "env")
    fake_linux(tmp_path, starts=f'grep -q "the old one" "{unit}"')
    done = run("install", tmp_path, place)
    assert done.returncode == 1
    assert "the one before it runs again" in done.stderr
    assert unit.read_text() == "the old one"
    assert sorted(path.name for path in unit.parent.iterdir()) == ["hubbot.service"]


def test_a_mac_whose_bootstrap_fails_at_first_gets_its_service_all_the_same(tmp_path: Path) -> None:
    place = environment(tmp_path / "env")
    script(tmp_path / "tools" / "uname", "echo Darwin")
    tries = tmp_path / "tries"
    script(
        tmp_path / "tools" / "launchctl",
        f'case "$1" in bootstrap) echo x >> "{tries}"; [ $(wc -l < "{tries}") -ge 3 ] || exit 5 ;; '
        'print) echo "state = running" ;; bootout) exit 3 ;; esac',
    )
    done = run("install", tmp_path, place)
    assert done.returncode == 0, done.stderr
    assert len(tries.read_text().split()) == 3


CALLS = 'echo "$*" >>"$CALLS"'


def upgraded(tmp_path: Path, running: list[str]) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Upgrade an installed hubbot that says what is under way, one answer after the other."""
    place = environment(tmp_path / "env")
    answers = "\n".join(f'{{"running": {answer}}}' for answer in running)
    (tmp_path / "answers").write_text(answers + "\n")
    script(
        place / "bin" / "hubbot",
        f'{CALLS}\n[ "$1" = status ] || exit 0\nhead -n 1 "$HOME/answers"; sed -i 1d "$HOME/answers"',
    )
    script(tmp_path / "tools" / "uname", "echo Linux")
    script(tmp_path / "tools" / "systemctl", "exit 0")
    script(tmp_path / "tools" / "sleep", "exit 0")
    done = run("upgrade", tmp_path, place, CALLS=str(tmp_path / "calls"), HUBBOT_PATIENCE_SECONDS="20")
    return done, (tmp_path / "calls").read_text().splitlines()


def test_an_upgrade_waits_for_the_stage_at_hand_migrates_and_goes_on(tmp_path: Path) -> None:
    done, calls = upgraded(tmp_path, ['[{"id": 1}]', '[{"id": 1}]', "[]"])
    assert done.returncode == 0, done.stderr
    assert calls == ["pause", *["status --json"] * 3, "jobs --limit 1", "doctor", "resume"]


def test_an_upgrade_does_not_wait_for_ever_and_resumes_even_where_it_fails(tmp_path: Path) -> None:
    done, calls = upgraded(tmp_path, ['[{"id": 1}]'] * 9)
    assert "still under way after 20 s" in done.stderr
    assert calls[-1] == "resume"


def test_uninstalling_twice_is_as_once_and_keeps_the_data(tmp_path: Path) -> None:
    place = environment(tmp_path / "env")
    script(tmp_path / "tools" / "uname", "echo Linux")
    script(tmp_path / "tools" / "systemctl", "exit 0")
    assert run("install", tmp_path, place).returncode == 0
    data = tmp_path / ".local/share/hubbot/hubbot.db"
    data.parent.mkdir(parents=True)
    data.write_text("jobs")
    for _ in range(2):
        assert run("uninstall", tmp_path, place).returncode == 0
    assert not (tmp_path / ".config/systemd/user/hubbot.service").exists()
    assert data.read_text() == "jobs"


def test_a_macs_time_machine_leaves_the_work_folder_out(tmp_path: Path) -> None:
    place = environment(tmp_path / "env")
    script(tmp_path / "tools" / "uname", "echo Darwin")
    script(tmp_path / "tools" / "launchctl", '[ "$1" = print ] && echo "state = running"; exit 0')
    script(tmp_path / "tools" / "tmutil", CALLS)
    more = {"CALLS": str(tmp_path / "calls"), "HUBBOT_DATA_DIR": f"{tmp_path}/my data", "PYTHONPATH": str(ROOT)}
    done = run("install", tmp_path, place, **more)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text() == f"addexclusion {tmp_path}/my data/work\n"


def recorded_pip(place: Path) -> Path:
    """An environment whose pip only writes down what it is asked for."""
    environment(place)
    (place / ".hubbot").unlink()
    log = place.parent / "asked"
    body = f'if [ "$1 $2" = "-m pip" ]; then shift 2; echo "$@" >>{shlex.quote(str(log))}; exit 0; fi\n'
    script(place / "bin" / "python", body + f'exec {shlex.quote(sys.executable)} "$@"')
    return log


def test_the_cuda_build_is_installed_last_and_the_cpu_build_is_gone(tmp_path: Path) -> None:
    place = tmp_path / "environment"
    log = recorded_pip(place)
    assert run("try", tmp_path, place, HUBBOT_DEVICE="cuda").returncode == 0
    first, second, last = log.read_text().splitlines()
    assert first.split()[0] == "install"
    assert "--editable" in first
    assert (second.split()[0], second.split()[-1]) == ("uninstall", "mlx-cpu")
    assert f"mlx-cuda-13=={version('mlx')}" in last
    assert run("try", tmp_path, place, HUBBOT_DEVICE="cuda").returncode == 0
    assert len(log.read_text().splitlines()) == 3  # nothing is installed again
    assert run("try", tmp_path, place).returncode == 0
    assert log.read_text().splitlines()[-1].startswith("install")  # the other device's build is not in force


def test_a_device_that_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    place = tmp_path / "environment"
    log = recorded_pip(place)
    done = run("try", tmp_path, place, HUBBOT_DEVICE="abacus")
    assert done.returncode == 1
    assert "abacus" in done.stderr
    assert not log.exists()
