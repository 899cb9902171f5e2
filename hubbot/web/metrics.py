"""Figures for machines: /metrics in Prometheus' text format; /healthz, which says that the database answers."""

from collections.abc import Iterator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hubbot.errors import HubbotError
from hubbot.web import contents
from hubbot.web.site import Site

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def routes(site: Site) -> list[Route]:
    """Return the routes of both."""

    def healthz(request: Request) -> Response:
        del request
        try:
            site.records.queue.counts()
        except HubbotError:
            return PlainTextResponse("the database does not answer\n", 503)
        return PlainTextResponse("ok\n")

    def metrics(request: Request) -> Response:
        del request
        try:
            text = "".join(f"{line}\n" for line in lines(site))
        except HubbotError as error:
            return PlainTextResponse(f"{error}\n", 503)
        return PlainTextResponse(text, media_type=MEDIA_TYPE)

    return [Route("/healthz", healthz), Route("/metrics", metrics)]


def lines(site: Site) -> Iterator[str]:
    """Yield the lines of /metrics."""
    health = contents.health(site, {})
    totals = site.records.listings.totals()
    progress = contents.live(site)["progress"]
    yield from _gauge("hubbot_build_info", "Versions.", [({k: health[k] for k in ("hubbot", "mlx_lm")}, 1)])
    by_state = [({"state": state}, count) for state, count in health["counts"].items()]
    yield from _gauge("hubbot_jobs", "Jobs by state.", by_state)
    yield from _gauge("hubbot_published_models", "Sources with a published variant.", [({}, totals.models)])
    yield from _gauge("hubbot_published_repos", "Published repos.", [({}, totals.repos)])
    yield from _gauge("hubbot_published_bytes", "Bytes of all published repos.", [({}, totals.nbytes)])
    yield from _gauge("hubbot_data_free_bytes", "Free bytes in the data folder.", [({}, health["free_bytes"])])
    alive = [({"runner": runner["name"]}, int(runner["alive"])) for runner in health["runners"]]
    yield from _gauge("hubbot_runner_alive", "Whether a runner with a job gives signs of life.", alive)
    waits = [({"runner": one.runner, "door": one.door}, 1) for one in site.records.outages.all()]
    yield from _gauge("hubbot_outage", "What a runner waits for: hub, token, disk, or a person's pause.", waits)
    seen = [({"runner": one.runner}, one.seen_at.timestamp()) for one in site.records.workers.all()]
    yield from _gauge("hubbot_machine_seen_timestamp_seconds", "A machine's last sign of life.", seen)
    shares = [({"job": str(entry["id"])}, entry["percent"] / 100) for entry in progress]
    yield from _gauge("hubbot_stage_progress_ratio", "Share of the present stage that is done.", shares)


def _gauge(name: str, meaning: str, samples: Sequence[tuple[dict[str, Any], float]]) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} gauge"
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(str(text))}"' for key, text in labels.items())
        yield f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
