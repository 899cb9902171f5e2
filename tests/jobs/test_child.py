"""A heavy stage's process answers, or its death is an error; it never outlives its parent."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import hubbot
from hubbot.deadlines import Interrupted
from hubbot.errors import (
    ChildDied,
    HubbotError,
    OutOfMemory,
    OutOfRoom,
    RateLimited,
    SmokeFailed,
    TookTooLong,
    ValueMismatch,
    WrongUsage,
)
from hubbot.jobs import child
from hubbot.jobs.child import run, scrubbed
from hubbot.jobs.child_folders import sweep
from hubbot.jobs.kept_children import KeptChildren
from hubbot.progress import Progress
from hubbot.settings import Settings

ROOT = Path(__file__).parents[2]
HARMLESS = "tests.jobs.harmless"


class Runner:
    """Runs a harmless stage, remembers its progress."""

    def __init__(self, hf_home: Path) -> None:
        self.hf_home = hf_home
        self.stall_seconds = 60.0
        self.cancelled = threading.Event()
        self.told: list[tuple[int, int, str]] = []
        self.env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
        self.progress: Progress = lambda *progress: self.told.append(progress)

    def __call__(
        self, stage: str, request: dict[str, Any], *, seconds: float = 60, memory_bytes: int | None = None
    ) -> dict[str, Any]:
        return run(
            stage,
            request,
            env=self.env,
            hf_home=self.hf_home,
            timeout_seconds=seconds,
            stall_seconds=self.stall_seconds,
            memory_bytes=memory_bytes,
            cancelled=self.cancelled,
            progress=self.progress,
            main_module=HARMLESS,
        )


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "hf")


def alive(pid: int) -> bool:
    """Say whether a process exists and is more than a zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


def gone_within(seconds: float, pid: int) -> bool:
    until = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_the_answer_and_the_progress_come_back(runner: Runner) -> None:
    assert runner("echo", {"steps": 3, "text": "ä\n"}) == {"heard": {"steps": 3, "text": "ä\n"}}
    assert runner.told == [(0, 3, "step"), (1, 3, "step"), (2, 3, "step")]


def test_a_request_and_an_answer_larger_than_any_pipe_come_through(runner: Runner) -> None:
    large = {"tensors": ["model.layers.0.mlp.experts.0.up_proj.weight"] * 100_000}
    assert runner("echo", large) == {"heard": large}


def test_an_error_of_the_tree_crosses_the_process_boundary_whole(runner: Runner) -> None:
    with pytest.raises(ValueMismatch) as caught:
        runner("refuse", {})
    assert (caught.value.message, caught.value.where, caught.value.hint) == (
        "off by one",
        "layers.0",
        "look again",
    )
    with pytest.raises(RateLimited) as asked:
        runner("wait_for_hub", {})
    assert asked.value.after_seconds == 17.5


def test_an_unforeseen_exception_names_its_type(runner: Runner) -> None:
    with pytest.raises(HubbotError, match="KeyError: 'missing'") as caught:
        runner("crash", {})
    assert type(caught.value) is HubbotError


@pytest.mark.parametrize("stage", ["disk_full", "no_memory"])
def test_want_of_disk_or_memory_is_tried_later(runner: Runner, stage: str) -> None:
    with pytest.raises(OutOfRoom):
        runner(stage, {})


def test_a_stage_that_is_not_on_the_list_is_refused(runner: Runner) -> None:
    with pytest.raises(WrongUsage, match="no stage 'os:system' may run in a child"):
        runner("os:system", {})


@pytest.mark.parametrize("name", ["SIGKILL", "SIGABRT"])
def test_an_exit_by_signal_names_the_signal_and_keeps_the_last_words(runner: Runner, name: str) -> None:
    with pytest.raises(ChildDied, match=f"the process of shot was ended by {name}") as caught:
        runner("shot", {"signal": name})
    assert caught.value.message.endswith("last words")
    assert len(caught.value.message) < child.LAST_WORDS_BYTES + 200
    assert (caught.value.hint is not None) == (name == "SIGKILL")


def test_an_exit_without_an_answer_names_its_code(runner: Runner) -> None:
    with pytest.raises(ChildDied, match="exit code 3 and without an answer"):
        runner("exit_early", {})


def test_a_stage_that_takes_too_long_is_ended(runner: Runner) -> None:
    with pytest.raises(ChildDied, match="did not finish within 1 seconds"):
        runner("sleep", {}, seconds=1)
    assert gone_within(1, runner.told[0][0])


def test_cancelling_ends_a_stage_even_if_it_ignores_sigterm(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "GRACE_SECONDS", 0.3)

    def cancel(*progress: Any) -> None:
        runner.told.append(progress)
        runner.cancelled.set()

    runner.progress = cancel
    with pytest.raises(Interrupted, match="stubborn was stopped"):
        runner("stubborn", {})
    assert gone_within(1, runner.told[0][0])


def test_a_stage_above_its_memory_limit_is_ended(runner: Runner) -> None:
    with pytest.raises(OutOfRoom, match=r"hog held .* GiB of memory, 0.06 GiB were allowed"):
        runner("hog", {"bytes": 200 * 2**20}, memory_bytes=60 * 2**20)


def test_a_display_that_fails_leaves_no_process_behind(runner: Runner) -> None:
    def fail(*progress: Any) -> None:
        runner.told.append(progress)
        raise RuntimeError("the terminal is gone")

    runner.progress = fail
    with pytest.raises(RuntimeError, match="the terminal is gone"):
        runner("sleep", {})
    assert gone_within(1, runner.told[0][0])


def test_what_a_child_has_started_ends_with_it(runner: Runner) -> None:
    with pytest.raises(ChildDied, match="did not finish"):
        runner("family", {}, seconds=1.5)
    assert gone_within(1, runner.told[0][0])


def test_what_libraries_print_is_not_an_answer_and_stdin_is_empty(runner: Runner) -> None:
    assert runner("chatter", {}) == {"quiet": True}
    assert runner("read_stdin", {}) == {"read": ""}


def test_the_child_sees_no_secret_and_no_way_online(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "hf_token", "HUBBOT_WEBHOOK_SECRET",
               "MY_PASSWORD", "OPENAI_API_KEY", "HUBBOT_DATABASE_URL", "HTTPS_PROXY", "MY_PAT", "GH_PAT",
               "SLACK_WEBHOOK", "AWS_SESSION", "COVERAGE_TOKEN")  # fmt: skip
    runner.env |= dict.fromkeys(secrets, "hunter2") | {"HF_HUB_OFFLINE": "0", "HF_HOME": "/home/me/hf"}
    (tmp_path / "colorsys.py").write_text("raise SystemExit('imported from the working directory')\n")
    monkeypatch.chdir(tmp_path)
    seen = runner("environment", {})
    assert "hunter2" not in seen["environ"].values()
    assert (seen["environ"]["HF_HUB_OFFLINE"], seen["environ"]["HF_HOME"]) == ("1", str(tmp_path / "hf"))
    assert seen["environ"]["TRANSFORMERS_VERBOSITY"] == "error"
    assert seen["environ"]["TOKENIZERS_PARALLELISM"] == "false"
    assert not {"", ".", str(tmp_path)} & set(seen["path"])
    assert seen["group"]


def test_an_installed_hubbot_needs_no_path_and_a_given_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scrubbed({"PYTHONPATH": "/mine"}, tmp_path)["PYTHONPATH"].endswith(os.pathsep + "/mine")
    monkeypatch.setattr(hubbot, "__file__", "/venv/site-packages/hubbot/__init__.py")
    assert scrubbed({}, tmp_path)["PYTHONPATH"] == ""


PARENT = """
import os, sys, threading
from pathlib import Path
from hubbot.jobs.child import run
run("sleep", {"pid_file": sys.argv[1]}, env=os.environ, hf_home=Path("hf"),
    timeout_seconds=60, stall_seconds=60, memory_bytes=None, cancelled=threading.Event(), progress=print,
    main_module="tests.jobs.harmless")
"""


def test_a_child_dies_with_its_parent_even_if_that_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(pid_file)], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as parent:
        until = time.monotonic() + 30
        while not (pid_file.exists() and pid_file.read_text()):
            assert time.monotonic() < until
            time.sleep(0.05)
        pid = int(pid_file.read_text())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert gone_within(5, pid)


def test_a_child_whose_request_never_comes_does_not_hang() -> None:
    command = [sys.executable, "-m", HARMLESS, "echo"]
    done = subprocess.run(command, cwd=ROOT, input=b"", capture_output=True, check=False, timeout=30)
    assert done.returncode != 0
    assert done.stdout == b""


def test_the_entry_answers_by_hand_too() -> None:
    command = [sys.executable, "-m", HARMLESS, "echo"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"a": 1}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == {"ok": {"heard": {"a": 1}}}


def test_a_stage_that_tells_of_no_progress_is_ended_long_before_its_time_is_up(runner: Runner) -> None:
    runner.stall_seconds = 1
    with pytest.raises(ChildDied, match="no progress for 1 seconds"):
        runner("sleep", {}, seconds=60)
    assert gone_within(1, runner.told[0][0])


def settings(tmp_path: Path, **fields: Any) -> Settings:
    return Settings(data_dir=tmp_path / "data", smoke_seconds=1, **fields)


def smoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: HubbotError, **fields: Any) -> None:
    """Run a smoke test whose child ends in `error`."""

    def run(stage: str, request: Any, **how: Any) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(child, "run", run)
    child.caller(settings(tmp_path, **fields), threading.Event())("smoke", {"folder": str(tmp_path)}, print)


def test_a_smoke_test_without_end_is_a_finding_about_the_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SmokeFailed, match="did not finish"):
        smoked(tmp_path, monkeypatch, TookTooLong("smoke did not finish within 1 seconds"))
    with pytest.raises(ChildDied):
        smoked(tmp_path, monkeypatch, ChildDied("Metal aborted"))


def test_a_smoke_test_that_eats_memory_is_a_finding_unless_the_machine_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SmokeFailed, match="held 9 GiB"):
        smoked(tmp_path, monkeypatch, OutOfMemory("smoke held 9 GiB"), memory_gigabytes=64)
    with pytest.raises(OutOfMemory):
        smoked(tmp_path, monkeypatch, OutOfMemory("smoke held 2 GiB"), memory_gigabytes=1)


def test_the_memory_of_a_child_is_bounded_without_any_setting(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < settings(tmp_path).child_bytes < machine
    assert settings(tmp_path, memory_gigabytes=2).child_bytes == 2_000_000_000


def test_what_a_killed_child_leaves_is_removed_with_its_folder(runner: Runner, tmp_path: Path) -> None:
    assert Path(runner("environment", {})["environ"]["TMPDIR"]).parent == tmp_path / "child-tmp"
    with pytest.raises(ChildDied):
        runner("shot", {"signal": "SIGKILL"})
    assert list((tmp_path / "child-tmp").iterdir()) == []


def test_the_next_bot_sweeps_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f"{gone.pid}-x", f"{os.getpid()}-x", "notes"):
        (tmp_path / "child-tmp" / name).mkdir(parents=True)
    sweep(tmp_path)
    assert {path.name for path in (tmp_path / "child-tmp").iterdir()} == {f"{os.getpid()}-x", "notes"}


@pytest.fixture
def kept() -> Iterator[KeptChildren[child.Child]]:
    with closing(KeptChildren[child.Child]()) as children:
        yield children


def kept_runner(runner: Runner, kept: KeptChildren[child.Child], stage: str, owner: int = 1) -> dict[str, Any]:
    return run(
        stage, {}, env=runner.env, hf_home=runner.hf_home, timeout_seconds=20, stall_seconds=1, memory_bytes=None,
        cancelled=runner.cancelled, progress=runner.progress, main_module=HARMLESS, kept=kept, owner=owner,
    )  # fmt: skip


def test_a_job_has_one_child_for_all_its_stages_and_another_job_another(
    runner: Runner, kept: KeptChildren[child.Child]
) -> None:
    folders = [kept_runner(runner, kept, "environment", owner)["environ"]["TMPDIR"] for owner in (1, 1, 2, 1)]
    assert folders[0] == folders[1] == folders[3] != folders[2]
    kept.close()
    assert list((runner.hf_home.parent / "child-tmp").iterdir()) == []


def test_the_child_of_a_job_that_ended_serves_the_next_and_one_is_enough(
    runner: Runner, kept: KeptChildren[child.Child]
) -> None:
    first, second = (kept_runner(runner, kept, "environment", owner)["environ"]["TMPDIR"] for owner in (1, 2))
    kept.hand_on(1)
    kept.hand_on(2)
    assert Path(first).exists()
    assert not Path(second).exists()
    assert kept_runner(runner, kept, "environment", 3)["environ"]["TMPDIR"] == first
    kept.hand_on(3)
    kept.close()
    assert list((runner.hf_home.parent / "child-tmp").iterdir()) == []


@pytest.mark.parametrize("stage", ["exit_early", "refuse", "crash", "sleep"])
def test_a_kept_child_that_dies_or_fails_is_replaced(
    runner: Runner, kept: KeptChildren[child.Child], stage: str
) -> None:
    first = kept_runner(runner, kept, "environment")["environ"]["TMPDIR"]
    with pytest.raises(HubbotError):
        kept_runner(runner, kept, stage)
    assert not Path(first).exists()
    assert kept_runner(runner, kept, "environment")["environ"]["TMPDIR"] != first


def test_a_kept_child_that_was_killed_between_two_stages_is_replaced(
    runner: Runner, kept: KeptChildren[child.Child]
) -> None:
    kept_runner(runner, kept, "environment")
    waiting = kept.take(1)
    assert waiting is not None
    kept.give_back(1, waiting)
    os.kill(waiting.process.pid, signal.SIGKILL)
    waiting.process.wait()
    assert kept_runner(runner, kept, "echo") == {"heard": {}}


def test_a_kept_child_that_gave_up_waiting_is_replaced_even_in_the_moment_of_asking(
    runner: Runner, kept: KeptChildren[child.Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_runner(runner, kept, "give_up_soon")
    waiting = kept.take(1)
    assert waiting is not None
    waiting.process.wait()
    kept.give_back(1, waiting)
    # It ended with the code of idleness just after it was looked at.
    monkeypatch.setattr(child.Child, "is_there", True)
    assert kept_runner(runner, kept, "echo") == {"heard": {}}


def test_a_child_that_holds_much_is_not_kept(
    runner: Runner, kept: KeptChildren[child.Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "KEPT_BYTES", 1)
    kept_runner(runner, kept, "echo")
    assert kept.take(1) is None


def test_nothing_is_kept_once_the_bot_is_closed(runner: Runner, kept: KeptChildren[child.Child]) -> None:
    kept.close()
    kept_runner(runner, kept, "echo")
    assert kept.take(1) is None
