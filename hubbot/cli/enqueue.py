"""The command that puts a repo into the queue: `hubbot enqueue`."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hubbot.settings import Settings

from hubbot.cli.options import DryRun, Json, Repo, Revision
from hubbot.cli.output import data, print_json, table, talk

# store/queue.py, which is slow to import, has the same.
HIGHEST_PRIORITY = 1000


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("enqueue", rich_help_panel="Jobs")(enqueue_command)


def enqueue_command(
    repo: Repo,
    revision: Revision = None,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", "-v", help="Variant to make; repeat for several.")
    ] = None,
    priority: Annotated[
        int,
        typer.Option(
            "--priority",
            min=-HIGHEST_PRIORITY,
            max=HIGHEST_PRIORITY,
            help="Higher goes first; one counts as six hours of waiting.",
        ),
    ] = 0,
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Replace what was made of a newer revision, too.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put a repo, or REPO@SHA, into the queue; the same repo, revision and variants are one job.

    Example: hubbot enqueue Qwen/Qwen3-30B-A3B --variant 4bit --priority 10
    """
    from hubbot import settings
    from hubbot.hub.client import default_hub
    from hubbot.jobs.bot import enqueue
    from hubbot.jobs.open_records import open_records

    chosen = settings.load()
    if dry_run:
        _rehearse(repo, revision, tuple(variant or ()), chosen, as_json=as_json)
        return
    with open_records(chosen) as records:
        job, created = enqueue(
            repo,
            revision,
            tuple(variant or ()),
            settings=chosen,
            hub=default_hub(),
            queue=records.queue,
            requested_by="enqueue",
            priority=priority,
            allow_older=allow_older,
        )
    if as_json:
        print_json({**job.to_json(), "created": created})
        return
    verb = "is new" if created else f"was there already, {job.state}"
    data.print(f"job {job.id} {verb}: {job.repo} at {job.revision[:12]}, {' '.join(job.variants)}")
    talk.print("`hubbot run` works on it; `hubbot show` tells how it stands")


def _rehearse(
    repo: str, revision: str | None, variants: tuple[str, ...], chosen: "Settings", *, as_json: bool
) -> None:
    from hubbot.hub.client import default_hub
    from hubbot.jobs.bot import asked_for
    from hubbot.jobs.open_records import open_records, utc_now
    from hubbot.jobs.rehearsals import rehearse

    hub = default_hub()
    source, wanted, _ = asked_for(repo, revision, variants, settings=chosen, hub=hub)
    with open_records(chosen) as records:
        found = rehearse(
            source.id,
            source.revision,
            wanted,
            settings=chosen,
            hub=hub,
            results=records.results,
            queue=records.queue,
            now=utc_now(),
        )
    if as_json:
        print_json(found)
        return
    rows = table(f"what a job for {found['source']} would do", "step", "repo", "how")
    for step in found["steps"]:
        rows.add_row(step["step"], step["repo"], step["how"])
    data.print(rows)
