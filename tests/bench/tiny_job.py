"""A tiny job through the bot: seconds by stage of the first job after a start of the bot, and of the one after it.

    python -m tests.bench.tiny_job

Beside download and upload (inspect, fetch, publish) at most 2.5 s on two quiet cores.
"""

import json
import sys
import tempfile
import threading
from pathlib import Path

from hubbot.devhub.demo_repos import write_demo_repos
from hubbot.jobs.bot import open_bot
from hubbot.jobs.pipeline import recipe_key
from hubbot.lifecycle import State
from hubbot.settings import Settings
from tests.hub.embedded import ORG, running

NETWORK = frozenset({"inspect", "fetch", "publish"})
VARIANTS = ("4bit",)


def tiny_jobs(work: Path, count: int = 2) -> list[dict[str, float]]:
    """Return the seconds of each stage of `count` jobs in turn, and "beside the network" what is not the Hub's."""
    folder = next(repo.folder for repo in write_demo_repos(work / "repos") if repo.repo_id.endswith("MoE-fused"))
    chosen = Settings(data_dir=work / "data", org=ORG, variants=VARIANTS, runner="bench", without_licence="other")
    figures = []
    with running(work / "hub") as site:
        hub = site.client()
        with open_bot(chosen, hub=hub, emit=lambda *_, **__: None, on_progress=lambda *_: None) as bot:
            for number in range(count):
                name = f"fables/Fox-{number}"
                site.embedded.seed(name, folder)
                job, _ = bot.queue.enqueue(
                    name, hub.head(name), VARIANTS, recipe_key(VARIANTS), requested_by="bench"
                )
                bot.run_once(threading.Event(), 0)
                assert bot.queue.job(job.id).state is State.PUBLISHED, bot.queue.job(job.id).error
                seconds = bot.results.seconds([job.id])[job.id]
                beside = sum(took for stage, took in seconds.items() if stage not in NETWORK)
                figures.append({**seconds, "beside the network": round(beside, 2)})
    return figures


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for line in tiny_jobs(Path(scratch)):
            sys.stdout.write(json.dumps(line) + "\n")
