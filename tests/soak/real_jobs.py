"""Real jobs under random faults: `hubbot run`, its children and the embedded Hub are processes that are killed.

python -m tests.soak.real_jobs FOLDER JOBS STORM_SECONDS SEED

The repos are the demo's, one in twenty poisoned; `judged` says at the end what is not as it should be.
"""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from hubbot.devhub.accounts import Account
from hubbot.devhub.demo_repos import write_demo_repos
from hubbot.devhub.server import EmbeddedHub
from hubbot.errors import HubbotError
from hubbot.lifecycle import Job, State
from hubbot.store.database import open_engine, upgrade
from hubbot.store.queue import Queue
from hubbot.store.results import Results
from tests.soak.hub_process import ORG, TOKEN

ROOT = Path(__file__).parents[2]
DISK_MEGABYTES = 600
DAYS = 86400.0
# Some gigabytes of text before the first token is made.
BOMB = "{{ 'a' * 9000000000 }}"
LONGEST_STOP = 10.0


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small file system where that is allowed; yield whether it was."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)]
    mounted = sys.platform == "linux" and os.getuid() == 0 and shutil.which("mount") is not None
    mounted = mounted and subprocess.run(asked, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass(slots=True, kw_only=True)
class Soak:
    """A folder with a Hub, a data folder, and the two processes between which everything happens."""

    folder: Path
    random: Random
    has_small_disk: bool
    port: int = 0
    expected: dict[str, State] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    older: list[tuple[str, str]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    slow_stops: list[float] = field(default_factory=list)
    bot: "subprocess.Popen[bytes] | None" = None
    hub: "subprocess.Popen[bytes] | None" = None
    jump: float = 0.0

    @property
    def data(self) -> Path:
        return self.folder / "disk" / "data"

    def prepare(self, jobs: int) -> None:
        """Put the repos on the Hub and enqueue all of them."""
        self.data.mkdir(parents=True)
        self.set_jump(0)
        demos = write_demo_repos(self.folder / "demos")
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        engine = open_engine(f"sqlite:///{self.data}/hubbot.db")
        upgrade(engine)
        queue = Queue(engine, self.clock)
        with EmbeddedHub(self.folder / "hub", accounts={TOKEN: Account("keeper", (ORG,))}) as hub:
            for number in range(jobs):
                demo = demos[number % len(demos)]
                repo, kind = f"fables/{demo.repo_id.partition('/')[2]}-{number}", demo.repo_id
                source = self.folder / "sources" / repo
                shutil.copytree(demos[0].folder if number % 20 == 7 else demo.folder, source)
                self.expected[repo] = State(demo.expected)
                if number % 20 == 7:
                    kind, self.expected[repo] = "poison", State.FAILED
                    config = json.loads((source / "tokenizer_config.json").read_bytes())
                    config["chat_template"] = BOMB
                    (source / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
                self.kinds[repo] = kind
                revision = hub.seed(repo, source)
                queue.enqueue(repo, revision, ("4bit",), "4bit", requested_by="soak", newest=True)
                self.older.append((repo, revision))
        engine.dispose()

    def clock(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.jump)

    def set_jump(self, seconds: float) -> None:
        self.jump = seconds
        new = self.folder / "jump.new"
        new.write_text(str(seconds), encoding="ascii")
        new.replace(self.folder / "jump")

    def start_hub(self) -> None:
        command = [sys.executable, "-m", "tests.soak.hub_process", str(self.folder / "hub"), str(self.port)]
        self.hub = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._clean()
        )
        assert self.hub.stdout is not None
        assert self.hub.stdout.readline() == b"up\n"

    def tell_hub(self, **fault: object) -> None:
        assert self.hub is not None
        assert self.hub.stdin is not None
        self.hub.stdin.write(json.dumps(fault).encode() + b"\n")
        self.hub.stdin.flush()

    def start_bot(self) -> None:
        rule = [{"name": "all", "authors": ["fables"]}]
        env = {
            **self._clean(), "HUBBOT_DATA_DIR": str(self.data), "HUBBOT_ORG": ORG, "HUBBOT_RUNNER": "soak",
            "HUBBOT_VARIANTS": '["4bit"]', "HUBBOT_WATCH": json.dumps(rule), "HUBBOT_WATCH_MINUTES": "0.5",
            "HUBBOT_BEHAVIOUR_TOKENS": "64", "HUBBOT_SMOKE_TOKENS": "16", "HUBBOT_LEASE_SECONDS": "20",
            "HUBBOT_CONFIG": "", "HF_ENDPOINT": f"http://127.0.0.1:{self.port}", "HF_TOKEN": TOKEN,
            "HF_HOME": str(self.folder / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": str(self.random.randrange(2)), "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms",
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.soak.bot_process", str(self.folder / "jump")]
        with (self.folder / "bot.log").open("ab") as log:
            self.bot = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)

    def _clean(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUBBOT_"))}
        return {**kept, "PYTHONPATH": str(ROOT)}

    def keep_running(self) -> None:
        if self.hub is None or self.hub.poll() is not None:
            self.start_hub()
        if self.bot is None or self.bot.poll() is not None:
            self.start_bot()

    def counts(self) -> dict[State, int]:
        engine = open_engine(f"sqlite:///{self.data}/hubbot.db")
        try:
            return Queue(engine, self.clock).counts()
        finally:
            engine.dispose()

    def left(self) -> int:
        try:
            counts = self.counts()
        except HubbotError as error:
            self.say(f"the database does not answer: {error}")
            return 1
        return counts[State.WAITING] + counts[State.RUNNING]

    def storm(self, seconds: float) -> None:
        """Let things go wrong, one after the other, until the time is over or every job has ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.left():
            self.keep_running()
            kinds = [
                "bot",
                "child",
                "child",
                "hub",
                "hang",
                "limit",
                "cut",
                "spoil",
                "down",
                "token",
                "jump",
                "stop",
            ]
            kinds += ["commit", "older", *(["disk"] if self.has_small_disk else [])]
            kind = self.random.choice(kinds)
            self.faults[kind] += 1
            getattr(self, f"fault_{kind}")()
            time.sleep(self.random.uniform(1, 12))
            if self.faults.total() % 10 == 0:
                self.say(f"{dict(self.faults)} {self.counts()}")

    def fault_bot(self) -> None:
        assert self.bot is not None
        self.bot.kill()
        self.bot.wait()

    def fault_stop(self) -> None:
        assert self.bot is not None
        told = time.monotonic()
        self.bot.send_signal(signal.SIGTERM)
        self.bot.wait(60)
        if (took := time.monotonic() - told) > LONGEST_STOP:
            self.slow_stops.append(took)

    def fault_child(self) -> None:
        for _ in range(40):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                    if self.bot and parent == self.bot.pid and b"child_main" in (folder / "cmdline").read_bytes():
                        time.sleep(self.random.uniform(0, 2))
                        os.kill(int(folder.name), signal.SIGKILL)
                        return
                except (OSError, IndexError):
                    continue
            time.sleep(0.1)

    def fault_hub(self) -> None:
        assert self.hub is not None
        self.hub.kill()
        self.hub.wait()
        time.sleep(self.random.uniform(0, 6))

    def fault_hang(self) -> None:
        assert self.hub is not None
        self.hub.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(1, 40))
        self.hub.send_signal(signal.SIGCONT)

    def fault_limit(self) -> None:
        self.tell_hub(kind="limit", times=self.random.randint(1, 20))

    def fault_cut(self) -> None:
        self.tell_hub(kind="cut", after=self.random.randint(0, 100_000), times=self.random.randint(1, 5))

    def fault_spoil(self) -> None:
        # Twice the same file, and hubbot parks the job: the Hub then has another file than it says.
        self.tell_hub(kind="spoil", times=1)

    def fault_down(self) -> None:
        self.tell_hub(kind="down", times=self.random.randint(1, 30))

    def fault_token(self) -> None:
        self.tell_hub(kind="revoke")
        time.sleep(self.random.uniform(1, 8))
        self.tell_hub(kind="well")

    def fault_jump(self) -> None:
        self.set_jump(self.random.choice((0, -2 * DAYS, 2 * DAYS, 3600, -3600)))

    def fault_disk(self) -> None:
        ballast = self.folder / "disk" / "ballast"
        try:
            with ballast.open("wb") as file:
                while True:
                    file.write(bytes(1 << 20))
        except OSError:
            time.sleep(self.random.uniform(1, 10))
        ballast.unlink()

    def fault_commit(self) -> None:
        """Publish new weights of a source that works; the watch finds them."""
        good = [repo for repo, state in self.expected.items() if state is State.PUBLISHED]
        repo = self.random.choice(good)
        source = self.folder / "sources" / repo
        for path in source.glob("*.safetensors"):
            data = bytearray(path.read_bytes())
            data[-512::4] = bytes(byte ^ (1 + len(self.changed) % 3) for byte in data[-512::4])
            path.write_bytes(data)
        self.changed.add(repo)
        self.tell_hub(kind="seed", repo=repo, folder=str(source))

    def fault_older(self) -> None:
        """Ask for the first revision of a repo again, whatever stands on the Hub by now."""
        repo, revision = self.random.choice(self.older)
        engine = open_engine(f"sqlite:///{self.data}/hubbot.db")
        queue = Queue(engine, self.clock)
        job, _ = queue.enqueue(repo, revision, ("4bit",), "4bit", requested_by="soak")
        if job.state is State.SKIPPED:
            queue.retry(job.id)
        engine.dispose()

    def settle(self, seconds: float) -> bool:
        """Let everything be well; return whether every job ended in time."""
        self.keep_running()
        self.tell_hub(kind="well")
        self.set_jump(0)
        until = time.monotonic() + seconds
        # One more look at the Hub: what came last is found.
        looked = time.monotonic() + 45
        while self.left() or time.monotonic() < looked:
            if time.monotonic() > until:
                return False
            self.keep_running()
            time.sleep(1)
        return True

    def stop(self) -> None:
        if self.bot is not None and self.bot.poll() is None:
            self.fault_stop()
        if self.hub is not None:
            self.hub.kill()
            self.hub.wait()

    def say(self, text: str) -> None:
        with (self.folder / "soak.log").open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")


def judged(soak: Soak) -> list[str]:
    """Return what is not as it should be, a line each."""
    engine = open_engine(f"sqlite:///{soak.data}/hubbot.db")
    queue, results = Queue(engine, soak.clock), Results(engine, soak.clock)
    jobs = queue.jobs()
    wrong = [f"SIGTERM took {took:.0f} s" for took in soak.slow_stops]
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    wrong += [] if list(found) == ["ok"] and not broken else [f"the database: {found} {broken}"]
    with EmbeddedHub(soak.folder / "hub", accounts={TOKEN: Account("keeper", (ORG,))}) as running:
        hub = running._hub
        heads = {repo.address.id: hub.head(repo) for repo in hub.repos.every("models")}
        private = [repo.address.id for repo in hub.repos.every("models") if repo.private]
        wrong += [f"{repo} is private" for repo in private]
        for job in jobs:
            wrong += _wrong_with(job, soak, heads[job.repo].sha)
            wrong += _wrong_in_history(job, results)
        made: dict[str, set[str]] = {}
        for repo, state in soak.expected.items():
            target = f"{ORG}/{repo.partition('/')[2]}-MLX-4bit"
            if (target in heads) != (state is State.PUBLISHED):
                wrong.append(f"{target} is {'there' if target in heads else 'missing'}")
            if target not in heads or state is not State.PUBLISHED:
                continue
            files = {path: hub.blobs.path_of(entry).read_bytes() for path, entry in heads[target].tree.items()}
            if json.loads(files["hubbot.json"])["source"]["revision"] != heads[repo].sha:
                wrong.append(f"{target} is not of the newest revision")
            weights = hashlib.sha256(
                b"".join(files[name] for name in sorted(files) if name.endswith(".safetensors"))
            )
            if repo not in soak.changed:
                made.setdefault(soak.kinds[repo], set()).add(weights.hexdigest())
        wrong += [f"{kind} has {len(found)} different results" for kind, found in made.items() if len(found) > 1]
    wrong += [f"left behind: {path}" for path in (soak.data / "child-tmp").glob("*")]
    published = Counter((item.target_repo, item.source_revision) for item in results.publications())
    wrong += [f"{name} recorded {count} times" for name, count in published.items() if count > 1]
    engine.dispose()
    return wrong


def _wrong_with(job: Job, soak: Soak, head: str) -> list[str]:
    told = f"{job.repo}@{job.revision[:8]} is {job.state} at {job.stage}: {(job.error or {}).get('message')}"
    superseded = job.state is State.SKIPPED and (job.error or {}).get("kind") == "Superseded"
    if superseded and job.revision != head:
        return []
    wrong = [] if job.state is soak.expected[job.repo] else [told]
    if job.state is State.PUBLISHED and (soak.data / "work" / f"job-{job.id}").exists():
        wrong.append(f"the work folder of {told}")
    return wrong


def _wrong_in_history(job: Job, results: Results) -> list[str]:
    attempts = results.attempts(job.id)
    wrong = [f"job {job.id}: an attempt at {one.stage} is open" for one in attempts if one.ended_at is None]
    done = Counter(one.stage for one in attempts if one.outcome in {"done", "published"})
    return wrong + [f"job {job.id}: {stage} was done {count} times" for stage, count in done.items() if count > 1]


def run(folder: Path, *, jobs: int, storm_seconds: float, seed: int, patience_seconds: float) -> dict[str, Any]:
    """Return what came of it: counts, faults, seconds, and what is wrong."""
    started = time.monotonic()
    with small_disk(folder / "disk") as small:
        soak = Soak(folder=folder, random=Random(seed), has_small_disk=small)
        soak.prepare(jobs)
        try:
            soak.storm(storm_seconds)
            ended = soak.settle(patience_seconds)
        finally:
            soak.stop()
        wrong = judged(soak) + ([] if ended else ["jobs were left at the end of the patience"])
        counts = {state.value: number for state, number in soak.counts().items() if number}
        shutil.copy(soak.data / "hubbot.db", folder / "hubbot.db")
    return {
        "jobs": counts, "faults": dict(soak.faults), "seconds": round(time.monotonic() - started), "wrong": wrong,
    }  # fmt: skip


if __name__ == "__main__":
    told = run(
        Path(sys.argv[1]), jobs=int(sys.argv[2]), storm_seconds=float(sys.argv[3]), seed=int(sys.argv[4]),
        patience_seconds=7200,
    )  # fmt: skip
    print(json.dumps(told, indent=2))  # noqa: T201
