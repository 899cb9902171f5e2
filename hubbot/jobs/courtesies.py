"""Tags and collections that a Hub refused: noted with the job, and tried again later. They hold nothing back."""

import logging
from collections.abc import Mapping
from typing import Any

from hubbot.artifacts import Publication
from hubbot.checkpoints import Repo
from hubbot.errors import HubbotError
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
            "commit": published.revision,
            "private": published.private,
            "refused": dict(published.owed),
        }
        results.put(job_id, KIND, data if published.owed else {}, variant)


def pay(results: Results, hub: Hub, settings: Settings) -> int:
    """Try again what was refused; return how many publications still wait for it. Raises nothing of the Hub's."""
    left = 0
    for result in results.every(KIND):
        owed = _again(hub, settings, result.data)
        results.put(result.job_id, KIND, {**result.data, "refused": owed} if owed else {}, result.variant)
        left += bool(owed)
    return left


def _again(hub: Hub, settings: Settings, noted: Mapping[str, Any]) -> dict[str, str]:
    """Try what was refused again, if the repo is still there; return what is refused still, and why."""
    try:
        state = hub.state(noted["repo"])
    except HubbotError:
        return dict(noted["refused"])
    if state is None:
        return {}
    # Nobody is shown a repo that was hidden meanwhile.
    wanted = "collection" in noted["refused"] and not (noted["private"] or state.private)
    return publish.pay_courtesies(
        hub,
        noted["repo"],
        source=Repo(id=noted["source"], revision=noted["revision"]),
        # Earlier versions noted no commit.
        commit=noted.get("commit") or state.revision,
        collection=settings.collection if wanted else None,
    )
