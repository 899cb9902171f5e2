"""`hubbot demo` as people start it, in an environment that would mislead anything less careful."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import hubbot

ROOT = Path(hubbot.__file__).parents[1]
MARK = "STORY_MARK"
HOSTILE = {
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "HF_TOKEN": "hf_TheUsersOwnToken",
    "HF_HUB_OFFLINE": "1",
    "HUGGING_FACE_HUB_TOKEN": "hf_TheUsersOldToken",
    "HUBBOT_ORG": "evil",
    "HUBBOT_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:9/none",
    "HUBBOT_VARIANTS": '["mxfp4"]',
    "HTTP_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
}
# Beside the demo's folder, and named by the environment: nothing may ever be made there.
ELSEWHERE = "elsewhere"
SECONDS = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A demo that ran to its end."""

    folder: Path
    code: int
    out: str
    err: str

    @property
    def record(self) -> dict[str, Any]:
        record = json.loads(self.out)
        assert isinstance(record, dict)
        return record


def hostile(elsewhere: Path) -> dict[str, str]:
    return {
        **HOSTILE,
        "HF_HOME": str(elsewhere / "hf-home"),
        "HUBBOT_CONFIG": str(elsewhere / "hubbot.toml"),
        "HUBBOT_DATA_DIR": str(elsewhere / "data"),
    }


def environment(folder: Path, mark: str) -> dict[str, str]:
    misleading = hostile(folder.parent / ELSEWHERE)
    return {**os.environ, **misleading, "PYTHONPATH": str(ROOT), "COLUMNS": "200", MARK: mark}


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "hubbot", "demo", "--dir", str(folder), "--json"]


def run(folder: Path) -> Demo:
    done = subprocess.run(
        command(folder),
        env=environment(folder, uuid4().hex),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Demo(folder=folder, code=done.returncode, out=done.stdout, err=done.stderr)


def shared(factory: pytest.TempPathFactory) -> Demo:
    """Return the one demo of this test session, run by whichever worker needs it first."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with (root / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = root / "demo.json"
        if not ended.exists():
            demo = run(root / "demo")
            ended.write_text(json.dumps([demo.code, demo.out, demo.err]))
        code, out, err = json.loads(ended.read_text())
    return Demo(folder=root / "demo", code=code, out=out, err=err)


def interrupted(folder: Path, number: signal.Signals, *, after_lines: int, then_seconds: float) -> Demo | None:
    """Start the demo and send a signal some lines into its talk; None where SIGKILL left no answer."""
    mark = uuid4().hex
    with subprocess.Popen(
        command(folder), env=environment(folder, mark), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(after_lines)]
        time.sleep(then_seconds)
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
    wait_until_alone(mark)
    if number is signal.SIGKILL:
        return None
    return Demo(folder=folder, code=process.returncode, out=out, err="".join(said) + err)


def wait_until_alone(mark: str) -> None:
    """Wait until no process that the demo started is left."""
    deadline = time.monotonic() + 15
    while left := list(_marked(mark)):
        assert time.monotonic() < deadline, f"processes left behind: {left}"
        time.sleep(0.05)


def _marked(mark: str) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                yield int(folder.name)
        except OSError:
            continue  # it has just ended, or is not ours to look into


@contextmanager
def published_files(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield every public repo of the demo's organisation as its commit and files by path."""
    from hubbot.demo import HUB_FOLDER, ORG, accounts  # noqa: PLC0415
    from hubbot.devhub.server import EmbeddedHub  # noqa: PLC0415

    with EmbeddedHub(folder / HUB_FOLDER, accounts=accounts()) as running:
        hub = running._hub
        found: dict[str, dict[str, Any]] = {}
        for repo in hub.repos.every("models"):
            if repo.address.namespace == ORG:
                commit = hub.head(repo)
                paths = {path: hub.blobs.path_of(entry) for path, entry in commit.tree.items()}
                found[repo.address.id] = {"repo": repo, "head": commit.sha, "paths": paths}
        yield found


def end_state(folder: Path) -> dict[str, Any]:
    """What must be the same however the demo got there; measurements and commit times are not."""
    state: dict[str, Any] = {}
    with published_files(folder) as repos:
        for name, found in repos.items():
            # Pictures show measurements.
            files = {path: file for path, file in found["paths"].items() if not path.startswith("plots/")}
            contents = {path: file.read_bytes() for path, file in files.items()}
            mark = json.loads(contents.pop("hubbot.json"))
            revision = mark["source"].pop("revision")
            for measured in ("README.md", "report.json"):
                contents.pop(measured)
            state[name] = {
                "files": contents,
                "mark": mark,
                "private": found["repo"].private,
                "tags": [
                    tag == f"source-{revision[:12]}" and sha == found["head"]
                    for tag, sha in found["repo"].tags.items()
                ],
            }
    return state
