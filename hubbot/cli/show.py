"""The command that shows one job: `hubbot show`."""

from typing import Any

import typer

from hubbot.cli.options import JobId, Json
from hubbot.cli.output import data, print_json, styled, table


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("show", rich_help_panel="Jobs")(show_command)


def show_command(job_id: JobId, as_json: Json = False) -> None:
    """Show one job: how it stands, what its stages found, every attempt.

    Example: hubbot show 3
    """
    from hubbot import settings
    from hubbot.jobs.open_records import open_records

    with open_records(settings.load()) as records:
        job = records.queue.job(job_id)
        attempts = records.results.attempts(job_id)
        results = records.results.all(job_id)
    record: dict[str, Any] = {
        **job.to_json(),
        "history": [
            {
                "stage": a.stage,
                "started_at": a.started_at.isoformat(),
                "ended_at": a.ended_at.isoformat() if a.ended_at else None,
                "seconds": round((a.ended_at - a.started_at).total_seconds(), 2) if a.ended_at else None,
                "outcome": a.outcome,
                "error": a.error,
            }
            for a in attempts
        ],
        "results": [{"kind": r.kind, "variant": r.variant, "data": r.data} for r in results],
    }
    if as_json:
        print_json(record)
    else:
        _print_job(record)


def _print_job(record: dict[str, Any]) -> None:
    data.print(styled("bold", f"job {record['id']} "), f"{record['repo']} at {record['revision'][:12]}")
    data.print(f"{record['state']} at stage {record['stage']}, variants {' '.join(record['variants'])}")
    progress = next((r["data"] for r in record["results"] if r["kind"] == "progress"), None)
    if progress and record["state"] == "running" and progress["stage"] == record["stage"]:
        percent = 100 * progress["done"] // max(1, progress["total"])
        data.print(f"{percent} % of {record['stage']} done, at {progress['what']}")
    error = record["error"]
    if error:
        data.print(
            f"{error['kind']}: {error['message']}" + (f" ({error['where']})" if error["where"] else ""),
        )
        if error["hint"]:
            data.print(f"  -> {error['hint']}")
    rows = table("history", "stage", "started", "seconds", "outcome", "error")
    for attempt in record["history"]:
        message = (attempt["error"] or {}).get("message", "")
        took = "" if attempt["seconds"] is None else f"{attempt['seconds']:.1f}"
        rows.add_row(attempt["stage"], attempt["started_at"][:19], took, attempt["outcome"] or "running", message)
    data.print(rows)
    for owed in (r["data"] for r in record["results"] if r["kind"] == "owed" and r["data"]):
        for name, reason in owed["refused"].items():
            told = f"{owed['repo']} is published without its {name}, which is tried again later: {reason}"
            data.print(styled("yellow", "note: "), told)
    reports = [r for r in record["results"] if r["kind"] == "report"]
    if reports:
        rows = table("verification", "variant", "verdict", "gates", "findings")
        for report in reports:
            judged = report["data"]
            gates = ", ".join(f"{gate} {status}" for gate, status in judged["gates"].items())
            rows.add_row(report["variant"], judged["verdict"], gates, str(len(judged["findings"])))
        data.print(rows)
