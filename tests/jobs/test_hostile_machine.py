"""What processes, disks and numbers of processes do to a bot that nobody looks at for weeks."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random

import pytest

from hubbot.errors import ChildDied, HubbotError
from hubbot.jobs import child, child_folders
from hubbot.jobs.child import run
from hubbot.jobs.child_folders import own_folder, sweep
from hubbot.jobs.event_log import written
from hubbot.jobs.lock import runner_lock

ROOT = Path(__file__).parents[2]


def ask(tmp_path: Path, code: str, seconds: float = 30) -> dict[str, object]:
    """Run Python code as a child, by a module of its own."""
    (tmp_path / "odd_child.py").write_text(f"import os, sys, time, signal\n{code}\n", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    return run(
        "echo", {}, env={**os.environ, "PYTHONPATH": path}, hf_home=tmp_path / "hf", timeout_seconds=seconds,
        stall_seconds=seconds, memory_bytes=None, cancelled=threading.Event(), progress=lambda *_: None,
        main_module="odd_child",
    )  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "Segmentation fault", "[1, 2]", "null", "7", "{}", '{"progress": 3}', '{"progress": [1, 2]}',
        '{"progress": null}', "\\xff\\xfe", "[" * 20_000,
    ],
)  # fmt: skip
def test_a_child_that_writes_no_answer_has_died_and_is_tried_again(tmp_path: Path, line: str) -> None:
    with pytest.raises(ChildDied, match="no answer"):
        ask(tmp_path, f"os.write(1, {line!r}.encode('latin-1') + b'\\n')\ntime.sleep(60)")


def test_a_child_that_writes_one_line_without_end_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "LONGEST_LINE_BYTES", 1 << 20)
    with pytest.raises(ChildDied, match="a line of more than 1 MiB"):
        ask(tmp_path, "while True: os.write(1, b'x' * 65536)")


def test_a_child_that_fills_the_pipe_of_its_last_words_still_answers(tmp_path: Path) -> None:
    code = "os.write(2, b'x' * 300_000)\nos.write(1, b'{\"ok\": {\"a\": 1}}\\n')"
    assert ask(tmp_path, code) == {"a": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no real-time signals")
def test_a_child_that_a_signal_without_a_name_ends_has_died(tmp_path: Path) -> None:
    with pytest.raises(ChildDied, match="ended by signal 40"):
        ask(tmp_path, "os.kill(os.getpid(), 40)")


def test_a_folder_whose_owners_number_another_process_has_now_is_swept(tmp_path: Path) -> None:
    home = tmp_path / child_folders.FOLDER
    # 1 always lives; the last is no number that a process can have.
    for name in ("1-left", f"{10**30}-left"):
        (home / name).mkdir(parents=True)
    old = time.time() - 3600
    os.utime(home / "1-left", (old, old))
    (home / "1-fresh").mkdir()
    with own_folder(tmp_path) as held:
        os.utime(held, (old, old))
        sweep(tmp_path)
        assert {folder.name for folder in home.iterdir()} == {"1-fresh", held.name}
    assert not held.exists()


def test_a_folder_that_another_process_holds_is_not_swept(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hubbot.jobs.child_folders import own_folder\n"
        "with own_folder(Path(sys.argv[1])) as folder: print(folder, flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert holder.stdout is not None
    folder = Path(holder.stdout.readline().strip())
    os.utime(folder, (0, 0))
    sweep(tmp_path)
    assert folder.is_dir()
    # As after a restart of the machine: its owner is gone, and the number is another's.
    holder.kill()
    holder.communicate()
    taken = folder.rename(folder.with_name(f"1-{folder.name}"))
    sweep(tmp_path)
    assert not taken.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_under_the_log_stops_nothing_is_said_once_and_spills_no_secret(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hubbot.jsonl").symlink_to("/dev/full")
    secret = "hf_" + "".join(Random(1).choices("abcdefgh", k=20))
    with written(tmp_path, secrets=[secret]):
        for _ in range(5):
            logging.getLogger("hubbot.jobs").warning("the token is %s", secret)
    told = capfd.readouterr().err
    assert "cannot be written" in told
    assert len([line for line in told.splitlines() if "cannot be written" in line]) == 1
    assert "Traceback" not in told
    assert f"the log {tmp_path}" in told


def test_a_log_folder_that_is_a_file_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("", encoding="utf-8")
    with pytest.raises(HubbotError, match="could not be read or written"), written(tmp_path / "logs", secrets=[]):
        raise AssertionError("not reached")


def test_a_lock_file_that_an_earlier_process_left_holds_nobody_up(tmp_path: Path) -> None:
    lock = tmp_path / "mac.lock"
    lock.write_text(json.dumps({"pid": 1}), encoding="ascii")
    with runner_lock(lock):
        assert lock.exists()
