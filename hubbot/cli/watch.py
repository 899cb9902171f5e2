"""The command that looks at the Hub and enqueues what is new: `hubbot watch`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from hubbot.cli.interrupts import stopping
from hubbot.cli.options import DryRun, Json, Once
from hubbot.cli.output import data, print_json, table, talk

if TYPE_CHECKING:
    from hubbot.jobs.watch_rounds import Decision


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("watch", rich_help_panel="Running")(watch_command)


def watch_command(
    once: Once = False,
    seen: Annotated[
        str | None,
        typer.Option("--seen", help="Look at nothing: show what was decided about repos like this, and why."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="With --seen: show the newest so many.")] = 50,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Look at the Hub under the settings' rules and enqueue what is new and wanted.

    What many people like, download and talk about goes first.

    Example: hubbot watch --once --dry-run; hubbot watch --seen 'Qwen/*'
    """
    if seen is not None:
        _show_seen(seen, limit, as_json=as_json)
        return
    from hubbot import settings
    from hubbot.hub.client import default_hub
    from hubbot.jobs.open_records import open_records, utc_now
    from hubbot.jobs.watch_rounds import Watching

    chosen = settings.load()
    if not chosen.watch:
        talk.print("no watch rules are set, so nothing is watched; `hubbot doctor` shows where to set them")
        if as_json:
            print_json({"rules": 0, "decisions": []})
        return
    with open_records(chosen) as records, stopping() as stop:
        watching = Watching(
            settings=chosen,
            hub=default_hub(chosen.data_dir),
            queue=records.queue,
            results=records.results,
            clock=utc_now,
        )
        while True:
            _print_decisions(watching.look(dry_run=dry_run), len(chosen.watch), as_json=as_json)
            if once or dry_run or stop.wait(chosen.watch_minutes * 60):
                return


def _show_seen(pattern: str, limit: int, *, as_json: bool) -> None:
    from hubbot import settings
    from hubbot.jobs.open_records import open_records

    with open_records(settings.load()) as records:
        found = records.results.sightings(pattern, limit)
    if as_json:
        print_json({"seen": [{**asdict(one), "first_seen": one.first_seen.isoformat()} for one in found]})
        return
    rows = table(f"{len(found)} seen", "repo", "revision", "first seen", "decision", "job")
    for one in found:
        job = str(one.job_id) if one.job_id else ""
        rows.add_row(one.repo, one.revision[:12], f"{one.first_seen:%Y-%m-%d %H:%M}", one.verdict, job)
    data.print(rows)


def _print_decisions(decisions: "list[Decision]", rules: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"rules": rules, "decisions": [asdict(decision) for decision in decisions]})
        return
    if not decisions:
        data.print("nothing new")
        return
    rows = table(f"{len(decisions)} new", "repo", "revision", "rule", "verdict", "job")
    for decision in decisions:
        job = str(decision.job_id) if decision.job_id else ""
        rows.add_row(decision.repo, decision.revision[:12], decision.rule, decision.verdict, job)
    data.print(rows)
