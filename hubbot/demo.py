"""The demo: the whole pipeline on this machine against an embedded Hub, in a folder of its own.

Settings, database, HF_HOME, endpoint and token are the demo's, whatever the user's environment says. It runs
the same bot as `hubbot run`, and never reaches beyond the loopback.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubbot.devhub.accounts import Account
from hubbot.devhub.demo_repos import DEMO_MODELS, DemoRepo, write_demo_repos
from hubbot.devhub.server import EmbeddedHub
from hubbot.settings import CONFIG_VARIABLE, FILE_NAME, Settings, load

ORG = "mlx-demo"
USER = "demo"
TOKEN = "hf_demoDemoDemoDemo"  # noqa: S105 - opens nothing but the embedded Hub
HUB_FOLDER = "hub"
CORPUS = "stories.txt"
# Long enough to sit out a retry; nothing in the demo waits that long unless something broke.
PATIENCE_SECONDS = 120.0
SETTINGS_TEXT = f"""\
# The demo's own settings; `hubbot doctor` explains every key.
data_dir = "{{data_dir}}"
org = "{ORG}"
variants = ["bf16", "8bit", "4bit"]
runner = "demo"
watch_minutes = 1.0
smoke_tokens = 96
# The demo's models know nothing but stories.
corpus = "{{corpus}}"

[[watch]]
name = "fables"
authors = ["fables"]
max_gigabytes = 1.0
licences = ["apache-2.0"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What the demo came to: the JSON of `hubbot demo`, and whether it is what was expected."""

    record: dict[str, Any]
    as_expected: bool


def accounts() -> dict[str, Account]:
    """Return the embedded Hub's one account by its token."""
    return {TOKEN: Account(USER, (ORG,))}


@contextmanager
def embedded_hub(folder: Path) -> Iterator[tuple[EmbeddedHub, tuple[DemoRepo, ...]]]:
    """Start the embedded Hub of a demo folder with its six repos on it."""
    repos = write_demo_repos(folder / "repos")
    with EmbeddedHub(folder / HUB_FOLDER, accounts=accounts()) as hub:
        for repo in repos:
            hub.seed(repo.repo_id, repo.folder)
        yield hub, repos


def isolate(folder: Path, url: str) -> None:
    """Replace everything in this process's environment that could lead out of the demo.

    The Hub's client reads these when it is imported, so this comes before the first import of hubbot.hub.
    """
    for name in [name for name in os.environ if name.startswith(("HUBBOT_", "HF_", "HUGGING"))]:
        del os.environ[name]
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(name, None)
    os.environ |= {
        "HF_ENDPOINT": url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(folder / "hf-home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        CONFIG_VARIABLE: str(folder / FILE_NAME),
    }


def settings_of(folder: Path) -> Settings:
    """Write the demo's settings file, for people to look at, and return what it says."""
    data_dir = folder / "data"
    data_dir.mkdir(parents=True, exist_ok=True)
    corpus = folder / CORPUS
    corpus.write_bytes((DEMO_MODELS / CORPUS).read_bytes())
    text = SETTINGS_TEXT.format(data_dir=data_dir.as_posix(), corpus=corpus.as_posix())
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return load()


def run(folder: Path, repos: tuple[DemoRepo, ...], display: Any, stop: threading.Event) -> Ended:
    """Run the bot until every repo has its end, and return what came of it."""
    from hubbot.hub.client import default_hub  # noqa: PLC0415 - after `isolate`
    from hubbot.jobs.bot import open_bot  # noqa: PLC0415 - after `isolate`

    started = time.monotonic()
    settings = settings_of(folder)
    with (
        open_bot(settings, hub=default_hub(), emit=display.emit, on_progress=display.on_progress) as bot,
        display.live(),
    ):
        bot.run_once(stop, PATIENCE_SECONDS)
        return _ended(bot, repos, folder, time.monotonic() - started)


def _ended(bot: Any, repos: tuple[DemoRepo, ...], folder: Path, seconds: float) -> Ended:
    newest = {job.repo: job for job in reversed(bot.queue.jobs())}
    states = {repo.repo_id: newest.get(repo.repo_id) for repo in repos}

    def reasons(state: str) -> list[dict[str, str]]:
        return [
            {"repo": repo_id, "reason": (job.error or {}).get("message", "")}
            for repo_id, job in states.items()
            if job is not None and job.state == state
        ]

    published = [
        {"repo": item.target_repo, "source": item.source_repo, "variant": item.variant}
        for item in sorted(bot.results.publications(), key=lambda item: item.target_repo)
        if item.source_repo in states
    ]
    skipped, parked = reasons("skipped"), reasons("parked")
    record = {
        "published": published,
        "skipped": skipped,
        "parked": parked,
        "counts": {
            "published": len({item["source"] for item in published}),
            "skipped": len(skipped),
            "parked": len(parked),
        },
        "hub_dir": str(folder / HUB_FOLDER),
        "seconds": round(seconds, 1),
    }
    wanted = all(
        job is not None and job.state == repo.expected for repo, job in zip(repos, states.values(), strict=True)
    )
    return Ended(record=record, as_expected=wanted)
