"""The state of the whole bot in one answer: what runs, waits, is paused, came out, and needs a person."""

import fcntl
from datetime import datetime
from typing import Any

from hubbot.files.atomic_folders import free_bytes
from hubbot.jobs.open_records import Records
from hubbot.lifecycle import Job
from hubbot.settings import Settings
from hubbot.store.listings import ModelQuery

SHOWN = 5


def overview(records: Records, settings: Settings, now: datetime) -> dict[str, Any]:
    """Return plain data: times in ISO 8601, sizes in bytes, spans in seconds. It changes nothing."""
    listings = records.listings
    queue = listings.queue(SHOWN)
    return {
        "runner": settings.runner,
        "at_work": at_work(settings),
        "counts": {state.value: count for state, count in records.queue.counts().items()},
        "running": [_running(records, job, now) for job in listings.running()],
        "next": [{"id": job.id, "repo": job.repo, "at": job.stage.value} for job in queue],
        "pauses": [one.to_json() for one in records.outages.all()],
        "quiet_hours": settings.quiet.now(now),
        "needs_person": [_troubled(job) for job in listings.needing_a_person(SHOWN)],
        "published": [
            {"source_repo": model.source_repo, "published_at": model.published_at.isoformat()}
            for model in listings.models(ModelQuery()).models[:SHOWN]
        ],
        "machines": [machine.to_json() for machine in records.workers.all()],
        "free_bytes": free_bytes(settings.data_dir),
    }


def at_work(settings: Settings) -> bool:
    """Say whether a process holds this runner's lock."""
    try:
        with (settings.data_dir / f"{settings.runner}.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _running(records: Records, job: Job, now: datetime) -> dict[str, Any]:
    progress = records.results.get(job.id, "progress") or {}
    here = progress if progress.get("stage") == job.stage else {}
    total = here.get("total") or 0
    return {
        "id": job.id,
        "repo": job.repo,
        "at": job.stage.value,
        "runner": job.runner,
        "percent": round(100 * here.get("done", 0) / total) if total else None,
        "what": here.get("what"),
        "seconds": max(0, round((now - job.updated_at).total_seconds())),
    }


def _troubled(job: Job) -> dict[str, Any]:
    error = job.error or {}
    return {
        "id": job.id, "repo": job.repo, "state": job.state.value, "at": job.stage.value,
        "why": error.get("message"), "hint": error.get("hint"),
    }  # fmt: skip
