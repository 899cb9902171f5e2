"""What each page shows, as plain data: the HTML page and the same page under /api are made from it.

Times are ISO 8601 in UTC, sizes bytes. It reads the database and changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from typing import Any

from hubbot import __version__
from hubbot.cards.memory_needs import MACS, smallest_mac, usable_bytes
from hubbot.catalogue import coverage, runtimes
from hubbot.catalogue.variants.named_variants import VARIANTS
from hubbot.catalogue.variants.tiers import QUALITIES, quality_of, recommended_of
from hubbot.errors import RepoMissing
from hubbot.files.atomic_folders import free_bytes
from hubbot.jobs.watch_rounds import watermark_key
from hubbot.lifecycle import TRANSITIONS, Cancelled, Job, Revived, Stage, State
from hubbot.store.listings import PAGE_ROWS, SORTS, ModelQuery, PublishedModel
from hubbot.store.records import Attempt, Outage, PublishedVariant
from hubbot.web import job_log, pictures
from hubbot.web.site import Site

Content = dict[str, Any]
FINDING_ORDER = ("fail", "not-run", "not-applicable", "pass")
MOST_FINDINGS = 300
MOST_LINES = 300
# Beyond this a page number is a mistake; it also keeps the offset in the database's range.
LAST_PAGE = 1_000_000
_NEXT_STEPS = {
    State.PARKED: "Decide what is to be done, then retry the job.",
    State.FAILED: "What was built is disproved; a retry begins anew, from the first stage.",
}


def overview(site: Site, query: Mapping[str, str]) -> Content:
    """Return what runs, waits, was published last, and needs a person."""
    del query
    listings = site.records.listings
    counts = site.records.queue.counts()
    return {
        "counts": {state.value: count for state, count in counts.items()},
        "outages": [_outage(outage) for outage in site.records.outages.all()],
        "running": [_running(site, job) for job in listings.running()],
        "queue": [_job(job) for job in listings.queue(8)],
        "needs_person": [_job(job) for job in listings.needing_a_person(5)],
        "last_published": [_model(item) for item in listings.models(ModelQuery()).models[:6]],
        "totals": asdict(listings.totals()),
        "variants": list(VARIANTS),
        "default_variants": list(site.settings.variants),
        "org": site.settings.org,
    }


def live(site: Site) -> Content:
    """Return the progress of what runs, and the `version` of everything else that a page shows."""
    running = [_running(site, job) for job in site.records.listings.running()]
    progress = [{"id": job["id"], **job["progress"]} for job in running if job["progress"]]
    return {"version": version(site), "progress": progress}


def version(site: Site) -> str:
    """Return a text that changes with the jobs' states and with the stages of those that run."""
    running, counts = site.records.listings.running(), site.records.queue.counts()
    steps = [f"{job.id} {job.stage} {job.attempts} {job.cancel_requested}" for job in running]
    doors = [f"{outage.door} {outage.runner}" for outage in site.records.outages.all()]
    return " ".join([*map(str, counts.values()), *steps, *doors])


def jobs(site: Site, query: Mapping[str, str]) -> Content:
    """Return one page of jobs: `state`, `text` of the repo's name, `page`."""
    state = query.get("state", "")
    states = {State(state)} if state in set(State) else set()
    text, page = query.get("text", "")[:200], _page(query)
    found = site.records.listings.jobs(states, text, page)
    return {
        "jobs": [_job(job) for job in found.jobs],
        "counts": {key.value: count for key, count in site.records.queue.counts().items()},
        "query": {"state": next(iter(states), ""), "text": text},
        **_paging(page, found.total),
    }


def job(site: Site, job_id: int) -> Content:
    """Return one job: stages, attempts, findings worst first; raises WrongUsage where there is no such job."""
    this = site.records.queue.job(job_id)
    attempts = site.records.results.attempts(job_id)
    results = site.records.results.all(job_id)
    facts = {result.kind: result.data for result in results if result.variant is None}
    return {
        "job": {**_running(site, this), "may": _may(this)},
        "stages": [_stage(stage, this, attempts, site.clock()) for stage in Stage],
        "attempts": [_attempt(attempt, site.clock()) for attempt in reversed(attempts[-100:])],
        "more_attempts": max(0, len(attempts) - 100),
        "log": job_log.entries(this, attempts, results)[-MOST_LINES:],
        "notes": [_owed(result.data) for result in results if result.kind == "owed" and result.data],
        "checkpoint": facts.get("checkpoint"),
        "layout": facts.get("layout"),
        "reports": [_report(r.variant, r.data) for r in results if r.kind == "report"],
    }


def published(site: Site, query: Mapping[str, str]) -> Content:
    """Return one page of published models: `text`, `type`, `variant`, `mac`, `quality`, `sort`, `order`, `page`.

    `mac` (GB) and `quality` want one variant, at least, that fits such a Mac and is so good or better.
    """
    sort = query.get("sort", "")
    mac = next((gigabytes for gigabytes in MACS if str(gigabytes) == query.get("mac")), None)
    chosen = ModelQuery(
        text=query.get("text", "")[:200],
        model_type=query.get("type", "")[:200],
        variant=query.get("variant", "")[:200],
        memory_bytes=None if mac is None else usable_bytes(mac),
        kl_mean=QUALITIES.get(query.get("quality", "")),
        sort=sort if sort in SORTS else "published",
        descending=query.get("order", "desc") != "asc",
        page=_page(query),
    )
    found = site.records.listings.models(chosen)
    return {
        "models": [_model(item) for item in found.models],
        "totals": asdict(site.records.listings.totals()),
        "query": {
            "text": chosen.text,
            "type": chosen.model_type,
            "variant": chosen.variant,
            "mac": "" if mac is None else str(mac),
            "quality": query.get("quality", "") if chosen.kl_mean is not None else "",
            "sort": chosen.sort,
            "order": "desc" if chosen.descending else "asc",
        },
        "macs": list(MACS),
        "qualities": dict(QUALITIES),
        **_paging(chosen.page, found.total),
    }


def model(site: Site, source_repo: str) -> Content:
    """Return the published variants of one source; raises RepoMissing where there are none."""
    found = site.records.listings.variants(source_repo)
    if not found:
        raise RepoMissing("nothing of this source is published", where=source_repo)
    newest = max(found, key=lambda item: item.published_at)
    variants = [_published(item) for item in found]
    source_url = next((item["source_url"] for item in variants if item["source_url"]), None)
    return {
        "source_repo": source_repo,
        "source_revision": newest.source_revision,
        "source_url": source_url,
        "model_type": newest.model_type,
        "variants": variants,
        "recommended": _recommended(variants),
        "by_mac": _by_mac(variants),
        "qualities": dict(QUALITIES),
        "pictures": pictures.of_model(site.settings, [item["target_repo"] for item in variants]),
    }


def layouts(site: Site, query: Mapping[str, str]) -> Content:
    """Return the catalogue: layouts, packings and model types, of these only those with `text` in their name."""
    del site
    known, text = _coverage(), query.get("text", "")[:200].strip().lower()
    kinds = [kind for kind in known["model_types"] if text in kind["model_type"].lower()]
    return {**known, "model_types": kinds, "query": {"text": text}}


def health(site: Site, query: Mapping[str, str]) -> Content:
    """Return how the bot and its machine stand."""
    del query
    settings, now = site.settings, site.clock()
    running = site.records.listings.running()
    due = site.records.queue.next_due()
    return {
        "hubbot": __version__,
        "mlx_lm": runtimes.version(),
        "database": settings.database.partition(":")[0],
        "free_bytes": free_bytes(settings.data_dir),
        "counts": {state.value: count for state, count in site.records.queue.counts().items()},
        "oldest_due": due.isoformat() if due and due <= now else None,
        "runners": [
            {
                "name": job.runner,
                "job": job.id,
                "lease_until": job.lease_until.isoformat() if job.lease_until else None,
                "alive": job.lease_until is not None and job.lease_until > now,
            }
            for job in running
        ],
        "watch": [
            {"rule": rule.name, "seen_up_to": site.records.results.watermark(watermark_key(rule))}
            for rule in settings.watch
        ],
        "org": settings.org,
        "webhook": settings.webhook_secret is not None,
    }


@cache
def _coverage() -> Content:
    # It cannot change while the process runs.
    return coverage.coverage()


def _job(job: Job) -> Content:
    hint = (job.error or {}).get("hint")
    needs = job.state in _NEXT_STEPS
    return {**job.to_json(), "next_step": (hint or _NEXT_STEPS[job.state]) if needs else hint}


def _running(site: Site, job: Job) -> Content:
    record = site.records.results.get(job.id, "progress") if job.state is State.RUNNING else None
    if record is None or record["stage"] != job.stage:
        return {**_job(job), "progress": None}
    total = max(1, record["total"])
    percent = min(100, 100 * record["done"] // total)
    return {**_job(job), "progress": {"percent": percent, "what": record["what"]}}


def _may(job: Job) -> list[str]:
    moves = {"retry": Revived, "cancel": Cancelled}
    return [
        word
        for word, move in moves.items()
        if (job.state, move) in TRANSITIONS and not (word == "cancel" and job.cancel_requested)
    ]


def _stage(stage: Stage, job: Job, attempts: Sequence[Attempt], now: datetime) -> Content:
    tries = [attempt for attempt in attempts if attempt.stage is stage]
    seconds = sum(((attempt.ended_at or now) - attempt.started_at).total_seconds() for attempt in tries)
    if job.state is State.PUBLISHED:
        status = "done"
    elif stage is job.stage:
        status = job.state.value
    else:
        # A job that began anew has attempts at stages that lie before it again.
        status = "done" if list(Stage).index(stage) < list(Stage).index(job.stage) else "to come"
    return {"stage": stage.value, "status": status, "tries": len(tries), "seconds": seconds if tries else None}


def _attempt(attempt: Attempt, now: datetime) -> Content:
    return {
        "stage": attempt.stage.value,
        "started_at": attempt.started_at.isoformat(),
        "seconds": ((attempt.ended_at or now) - attempt.started_at).total_seconds(),
        "outcome": attempt.outcome or "running",
        "error": attempt.error,
        "runner": attempt.runner,
    }


def _report(variant: str | None, data: Mapping[str, Any]) -> Content:
    findings = sorted(data["findings"], key=lambda finding: FINDING_ORDER.index(finding["status"]))
    shown = findings[:MOST_FINDINGS]
    return {
        "variant": variant,
        "verdict": data["verdict"],
        "gates": data["gates"],
        "findings": shown,
        "passed": sum(finding["status"] == "pass" for finding in shown),
        "more_findings": len(findings) - len(shown),
    }


def _model(item: PublishedModel) -> Content:
    quality = None if item.kl_best is None else quality_of(item.kl_best)
    return {**asdict(item), "quality_best": quality, "published_at": item.published_at.isoformat()}


def _quality(item: PublishedVariant) -> str | None:
    """Return the word of the one scale, or what was said where nothing was measured; None if nothing was said."""
    if item.kl_mean is not None:
        return quality_of(item.kl_mean)
    said = item.report.get("quality")
    return str(said) if said else None


def _outage(outage: Outage) -> Content:
    """Return what a runner waits for, in words; `stages` are those that are not begun meanwhile."""
    error = outage.error
    return {
        "door": outage.door,
        "runner": outage.runner,
        "since": outage.since.isoformat(),
        "message": str(error.get("message") or ""),
        "hint": error.get("hint"),
        "stages": [stage.value for stage in outage.stages],
    }


def _owed(data: Mapping[str, Any]) -> Content:
    return {"repo": data["repo"], "refused": [{"what": k, "why": v} for k, v in data["refused"].items()]}


def _recommended(variants: Sequence[Content]) -> str | None:
    """Return the variant to recommend, as the cards do; None where nothing was measured."""
    measured = [item for item in variants if item["kl_mean"] is not None]
    best = recommended_of([(item["bytes"], item["kl_mean"]) for item in measured])
    return None if best is None else str(measured[best]["variant"])


def _by_mac(variants: Sequence[Content]) -> list[Content]:
    """Return for each size of Mac the largest variant that fits; sizes with the same one stand together."""
    sized = [item for item in variants if item["memory_bytes"] is not None]
    rows: list[Content] = []
    for gigabytes in MACS:
        fitting = [item for item in sized if item["memory_bytes"] <= usable_bytes(gigabytes)]
        if not fitting:
            continue
        best = max(fitting, key=lambda item: item["bytes"])
        if rows and rows[-1]["variant"] == best["variant"]:
            rows[-1]["to"] = gigabytes
        else:
            told = {key: best[key] for key in ("variant", "bytes", "quality", "kl_mean")}
            rows.append({"from": gigabytes, "to": gigabytes, **told})
    return rows


def _published(item: PublishedVariant) -> Content:
    url = str(item.report.get("url") or "")
    # It came from a Hub: only what is a web address of that repo becomes a link.
    safe = url.startswith(("https://", "http://")) and url.endswith(item.target_repo)
    return {
        "source_repo": item.source_repo,
        "source_revision": item.source_revision,
        "variant": item.variant,
        "target_repo": item.target_repo,
        "target_revision": item.target_revision,
        "published_at": item.published_at.isoformat(),
        "bits_per_weight": item.bits_per_weight,
        "bytes": item.bytes,
        "kl_mean": item.kl_mean,
        "quality": _quality(item),
        "memory_bytes": item.memory_bytes,
        "mac": None if item.memory_bytes is None else smallest_mac(item.memory_bytes),
        "gates": item.report.get("gates") or {},
        "versions": item.made_with,
        "url": url if safe else None,
        "source_url": url.removesuffix(item.target_repo) + item.source_repo if safe else None,
    }


def _page(query: Mapping[str, str]) -> int:
    given = query.get("page", "1")
    return min(max(1, int(given)), LAST_PAGE) if given.isdecimal() and len(given) < 9 else 1


def _paging(page: int, total: int) -> Content:
    return {"page": page, "pages": max(1, -(-total // PAGE_ROWS)), "total": total}
