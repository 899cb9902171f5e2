"""Run a heavy stage in a process of its own, so that its death is an error and not the end of the bot.

The child gets no token (but for an upload, which upload_child.py starts), an environment that keeps the Hub's
client offline, and a pipe whose closing tells it that the parent is gone. child_main.py is the other side. It
never decides what an error means for a job.
"""

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import hubbot
from hubbot.conversion.conversion import Call
from hubbot.deadlines import Interrupted
from hubbot.errors import ChildDied, HubbotError, OutOfMemory, SmokeFailed, TookTooLong, TryLater, from_json
from hubbot.jobs.child_folders import own_folder
from hubbot.jobs.child_main import IDLE_CODE, SERVE, stage_function
from hubbot.jobs.kept_children import KeptChildren
from hubbot.jobs.process_memory import footprint
from hubbot.progress import Progress
from hubbot.settings import Settings

logger = logging.getLogger(__name__)

# All that a child is given: whatever else stands in the environment may be a secret, under any name.
KEPT_NAMES = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TZ", "LANG", "LC_*", "TERM", "PYTHONPATH", "PYTHONHASHSEED",
    "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_*", "MLX_*", "MTL_*", "METAL_*", "CUDA_*", "OMP_*", "OPENBLAS_*",
    "MKL_*", "VECLIB_*", "COVERAGE_*", "MALLOC_*",
)  # fmt: skip
SECRET_NAMES = ("*TOKEN*", "*SECRET*", "*PASSWORD*", "*PASSWD*", "*CREDENTIAL*", "*_KEY")
LAST_WORDS_BYTES = 8192
# More than any answer; a child that writes without end must not fill the bot's memory.
LONGEST_LINE_BYTES = 256 << 20
LOOK_SECONDS = 0.1
GRACE_SECONDS = 5.0
# What a smoke test may hold beyond twice the weights: runtime, tokenizer, caches.
RUNAWAY_BYTES = 4 << 30
MAIN = "hubbot.jobs.child_main"
# A child that holds more after a stage is not kept for the next one: to start anew is cheap beside such a stage.
KEPT_BYTES = 1 << 30


def caller(
    settings: Settings,
    cancelled: threading.Event,
    *,
    here: Collection[str] = (),
    kept: KeptChildren["Child"] | None = None,
    owner: int = 0,
) -> Call:
    """Return the one way to run a stage: in a child process with the settings' limits; `here` in this one.

    With `kept` the child of `owner` (a job's id) serves one stage after another. The returned function raises what
    `run` raises, or what the stage itself raises.
    """
    home = home_of(settings)

    def call(stage: str, request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        if stage in here:
            return dict(stage_function(stage)(dict(request), progress))
        home.mkdir(parents=True, exist_ok=True)
        ask = _smoke if stage == "smoke" else run
        return ask(
            stage,
            request,
            env=os.environ,
            hf_home=home,
            timeout_seconds=settings.smoke_seconds if stage == "smoke" else settings.stage_hours * 3600,
            stall_seconds=settings.stall_minutes * 60,
            memory_bytes=settings.child_bytes,
            cancelled=cancelled,
            progress=progress,
            kept=kept,
            owner=owner,
        )

    return call


def home_of(settings: Settings) -> Path:
    """Return the HF_HOME of children: one of their own, which holds no token."""
    return settings.data_dir / "child-home"


def prepare(settings: Settings, kept: KeptChildren["Child"], owner: int) -> None:
    """Start the child of a job ahead of its first heavy stage, so that it has loaded its libraries by then.

    A child that an earlier job has left is taken instead.
    """
    kept.give_back(owner, kept.take(owner) or start(os.environ, home_of(settings), SERVE))


def run(
    stage: str,
    request: Mapping[str, Any],
    *,
    env: Mapping[str, str],
    hf_home: Path,
    timeout_seconds: float,
    stall_seconds: float,
    memory_bytes: int | None,
    cancelled: threading.Event,
    progress: Progress,
    main_module: str = MAIN,
    kept: KeptChildren["Child"] | None = None,
    owner: int = 0,
    also: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Run one stage of `main_module` in a child process and return its answer.

    `also` is set in its environment over what `scrubbed` leaves of `env`; a child that has it is never kept.

    Raises the child's own error; ChildDied if it ended without an answer, took too long, or told of no progress
    for `stall_seconds`; OutOfMemory above `memory_bytes`; Interrupted when `cancelled` is set. No process is left
    behind, but where `kept` is given one that answered well: the next stage of `owner` is asked of it.
    """
    assert not (kept and also), "a child with variables of its own serves one stage"
    with ExitStack() as ending:
        one = kept.take(owner) if kept else None
        was_kept = one is not None
        if one is None:
            one = start(env, hf_home, SERVE if kept else stage, main_module, also)
        ending.callback(one.end)
        one.conversation.ask({"stage": stage, "request": request} if kept else request, progress)
        deadline = time.monotonic() + timeout_seconds
        while one.conversation.listen():
            if cancelled.is_set():
                raise Interrupted(f"{stage} was stopped")
            if time.monotonic() > deadline:
                raise TookTooLong(f"{stage} did not finish within {timeout_seconds:.0f} seconds")
            if time.monotonic() > one.conversation.last_progress + stall_seconds:
                raise TookTooLong(f"{stage} told of no progress for {stall_seconds:.0f} seconds")
            _check_memory(one.process.pid, memory_bytes, stage)
        answer = one.conversation.answer
        if answer is None and was_kept and _exit_code(one.process) == IDLE_CODE:
            # It gave up waiting in the moment in which it was asked, and has begun nothing.
            return run(
                stage, request, env=env, hf_home=hf_home, timeout_seconds=timeout_seconds,
                stall_seconds=stall_seconds, memory_bytes=memory_bytes, cancelled=cancelled, progress=progress,
                main_module=main_module, kept=kept, owner=owner,
            )  # fmt: skip
        if answer is None:
            raise _died(stage, _exit_code(one.process), one.conversation.last_words)
        if kept and "ok" in answer and _is_small(one.process.pid):
            ending.pop_all()
            kept.give_back(owner, one)
        return _unpack(answer)


def _smoke(stage: str, request: Mapping[str, Any], **how: Any) -> dict[str, Any]:
    """Run a smoke test: a template, tokenizer or generation without end is a finding about the artifact.

    Raises SmokeFailed where it takes too long, or holds far more memory than its weights need.
    """
    weights = sum(path.stat().st_size for path in Path(request["folder"]).glob("*.safetensors"))
    own = 2 * weights + RUNAWAY_BYTES
    limit = how["memory_bytes"]
    try:
        return run(stage, request, **{**how, "memory_bytes": own if limit is None else min(limit, own)})
    except TookTooLong as error:
        hint = "a chat template or a generation that does not end; `smoke_seconds` holds the limit"
        raise SmokeFailed(error.message, where=str(request["folder"]), hint=hint) from error
    except OutOfMemory as error:
        if limit is not None and limit < own:
            raise
        raise SmokeFailed(error.message, where=str(request["folder"]), hint="its weights need far less") from error


def scrubbed(env: Mapping[str, str], hf_home: Path) -> dict[str, str]:
    """Return an environment of known names in which the Hub's client can neither go online nor log in."""
    kept = {name: value for name, value in env.items() if _matches(name, KEPT_NAMES) and not is_secret(name)}
    return kept | {
        "HF_HOME": str(hf_home),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        # The working directory may be a downloaded repo; none of its files is ever imported.
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join(_python_path(kept.get("PYTHONPATH"))),
    }


def is_secret(name: str) -> bool:
    """Say whether a variable of that name may hold a secret."""
    return _matches(name, SECRET_NAMES)


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name.upper(), pattern) for pattern in patterns)


def _python_path(given: str | None) -> list[str]:
    """Return where the child finds hubbot: by itself where it is installed, but not in a checkout."""
    folder = Path(hubbot.__file__).parent.parent
    installed = folder.name in {"site-packages", "dist-packages"}
    return ([] if installed else [str(folder)]) + ([given] if given else [])


class _Conversation:
    """The parent's ends of the three pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.answer: dict[str, Any] | None = None
        self.last_progress = time.monotonic()
        self._process = process
        self._progress: Progress = _tell_nobody
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._unread = bytearray()
        self._last_words = bytearray()
        self._selector = selectors.DefaultSelector()
        for pipe in (process.stdout, process.stderr):
            self._selector.register(pipe, selectors.EVENT_READ)

    @property
    def last_words(self) -> str:
        return self._last_words.decode(errors="replace").strip()

    def ask(self, request: Mapping[str, Any], progress: Progress) -> None:
        self.answer, self._progress = None, progress
        self._last_words.clear()
        self.last_progress = time.monotonic()
        try:
            self._stdin.write(json.dumps(request).encode() + b"\n")
            self._stdin.flush()
        except BrokenPipeError:
            return  # it died before it listened; its exit says how

    def close(self) -> None:
        self._selector.close()

    def listen(self) -> bool:
        """Read for a moment what the child writes; return whether more can come."""
        ready = self._selector.select(LOOK_SECONDS)
        for key, _ in ready:
            self._take(key.fileobj)  # type: ignore[arg-type]
        # A grandchild may hold the pipes open: what counts is the answer, or the end of the child itself.
        ended = self._process.poll() is not None and not ready
        return self.answer is None and bool(self._selector.get_map()) and not ended

    def _take(self, pipe: IO[bytes]) -> None:
        part = os.read(pipe.fileno(), 1 << 16)
        if not part:
            self._selector.unregister(pipe)
        elif pipe is self._stdout:
            *lines, rest = (bytes(self._unread) + part).split(b"\n")
            self._unread = bytearray(rest)
            if len(rest) > LONGEST_LINE_BYTES:
                raise ChildDied(f"the child wrote a line of more than {LONGEST_LINE_BYTES >> 20} MiB")
            for line in lines:
                self._hear(line)
        else:
            self._last_words += part
            del self._last_words[:-LAST_WORDS_BYTES]

    def _hear(self, line: bytes) -> None:
        try:
            message: dict[str, Any] = json.loads(line)
            told = message.get("progress")
            done, total, label = told if told is not None else (0, 0, "")
            understood = told is not None or "ok" in message or "error" in message
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ChildDied(f"the child wrote what is no answer: {line[:80]!r}") from error
        if not understood:
            raise ChildDied(f"the child wrote what is no answer: {line[:80]!r}")
        if told is not None:
            self.last_progress = time.monotonic()
            self._progress(done, total, label)
        else:
            self.answer = message


class Child:
    """A process of child_main, the conversation with it, and its temporary folder."""

    def __init__(self, process: subprocess.Popen[bytes], ending: ExitStack) -> None:
        self.process = process
        self.conversation = _Conversation(process)
        self._ending = ending

    @property
    def is_there(self) -> bool:
        """Say whether the process lives."""
        return self.process.poll() is None

    def end(self) -> None:
        """End the process with all it has started, and remove its folder."""
        self.conversation.close()
        self._ending.close()


def start(
    env: Mapping[str, str],
    hf_home: Path,
    word: str,
    main_module: str = MAIN,
    also: Mapping[str, str] = MappingProxyType({}),
) -> Child:
    """Start a child that runs stage `word` or serves; whoever starts it ends it."""
    with ExitStack() as ending:
        folder = ending.enter_context(own_folder(hf_home.parent))
        hf_home.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", main_module, word],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**scrubbed(env, hf_home), **also, "TMPDIR": str(folder)},
            # A group of its own: Ctrl-C in the terminal is the parent's to answer, and what the child starts
            # ends with it.
            process_group=0,
        )
        ending.callback(_end, process)
        return Child(process, ending.pop_all())
    raise AssertionError("an exit stack swallows no error")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes and end the child's whole group, with force if need be."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        logger.warning("process %d ignores SIGTERM; killing it", process.pid)
    _signal_group(process, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        with suppress(BrokenPipeError):  # an unread request was still in the buffer
            pipe.close()


def _tell_nobody(_done: int, _total: int, _label: str) -> None:
    """Take the progress of a child that nobody listens to."""


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        # No process is left in the group; macOS says "not permitted" of a group of zombies.
        return


def _check_memory(pid: int, limit: int | None, stage: str) -> None:
    if limit is None:
        return
    held = footprint(pid)
    if held is not None and held > limit:
        raise OutOfMemory(
            f"{stage} held {held / 2**30:.2f} GiB of memory, {limit / 2**30:.2f} GiB were allowed",
            hint="raise the memory limit in the settings, or ask for fewer variants at once",
        )


def _is_small(pid: int) -> bool:
    held = footprint(pid)
    return held is not None and held <= KEPT_BYTES


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return 0  # it closed its pipes and lives on; _end ends it


def _died(stage: str, code: int, last_words: str) -> ChildDied:
    if code < 0:
        how = f"was ended by {_signal_name(-code)}"
    else:
        how = f"ended with exit code {code} and without an answer"
    hint = "most often the system ran out of memory" if code == -signal.SIGKILL else None
    logger.warning("the process of %s left these last words:\n%s", stage, last_words)
    words = f": {last_words.splitlines()[-1][:200]}" if last_words else ""
    return ChildDied(f"the process of {stage} {how}{words}", hint=hint)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # a real-time signal has no name


def _unpack(answer: dict[str, Any]) -> dict[str, Any]:
    if "ok" in answer:
        done: dict[str, Any] = answer["ok"]
        return done
    error: HubbotError = from_json(answer["error"])
    # The tree's JSON has no place for it, and a retry must know how long the other side asked to wait.
    if isinstance(error, TryLater):
        error.after_seconds = answer.get("after_seconds")
    raise error
