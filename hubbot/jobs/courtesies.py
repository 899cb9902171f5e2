"""Tags and collections that a Hub refused: noted with the job, and tried again later. They hold nothing back."""

import logging

from hubbot.artifacts import Publication
from hubbot.checkpoints import Repo
from hubbot.hub.client import Hub
from hubbot.settings import Settings
from hubbot.steps import publish
from hubbot.store.results import Results

logger = logging.getLogger(__name__)
KIND = "owed"


def note(results: Results, job_id: int, variant: str, published: Publication) -> None:
    """Note which courtesies were refused for a publication; none clears what was noted before."""
    known = results.get(job_id, KIND, variant)
    if published.owed:
        refused = "; ".join(f"{name}: {reason}" for name, reason in published.owed.items())
        logger.warning("%s is published; refused were %s", published.repo_id, refused)
    if published.owed or known:
        data = {
            "repo": published.repo_id,
            "source": published.source.id,
            "revision": published.source.revision,
            "private": published.private,
            "refused": dict(published.owed),
        }
        results.put(job_id, KIND, data if published.owed else {}, variant)


def pay(results: Results, hub: Hub, settings: Settings) -> int:
    """Try again what was refused; return how many publications still wait for it. Raises nothing of the Hub's."""
    left = 0
    for result in results.every(KIND):
        data = result.data
        source = Repo(id=data["source"], revision=data["revision"])
        collection = settings.collection if "collection" in data["refused"] and not data["private"] else None
        owed = publish.pay_courtesies(hub, data["repo"], source=source, collection=collection)
        results.put(result.job_id, KIND, {**data, "refused": owed} if owed else {}, result.variant)
        left += bool(owed)
    return left
