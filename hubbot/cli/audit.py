"""The command that runs the gates again on what is published."""

from typing import TYPE_CHECKING, Annotated

import typer

from hubbot.cli.bars import bar
from hubbot.cli.options import DryRun, Json
from hubbot.cli.output import data, print_json, styled, table, talk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubbot.catalogue.known_bad_versions import KnownBad
    from hubbot.jobs.audits import Audited
    from hubbot.jobs.open_records import Records
    from hubbot.jobs.remakes import Remade
    from hubbot.store.records import PublishedVariant

COLOURS = {"approved": "green", "refused": "red"}


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("audit", rich_help_panel="Jobs")(audit_command)


def audit_command(
    repo: Annotated[
        list[str] | None,
        typer.Argument(help="Published repos, or their sources. Default: all.", show_default=False),
    ] = None,
    hubbot_version: Annotated[
        str | None, typer.Option("--hubbot", help="Only what this version of hubbot made.")
    ] = None,
    mlx_lm_version: Annotated[
        str | None, typer.Option("--mlx-lm", help="Only what was made with this version of mlx-lm.")
    ] = None,
    known_bad: Annotated[
        bool,
        typer.Option("--known-bad", help="Only what a version that is known to be silently wrong made."),
    ] = False,
    remake: Annotated[
        bool,
        typer.Option(
            "--remake",
            help="Judge nothing: enqueue what was published as text only, where its tower can be kept now.",
        ),
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run the gates again on published repos, record the verdicts, and enqueue what must be made anew.

    Exit 0 if all are approved, 1 if any is refused. The repairs run with `hubbot run`. What was published as text
    only stays as it is until its source changes or --remake asks for it: the card then tells to download it again.

    Example: hubbot audit --mlx-lm 0.32.1 --dry-run
    """
    from hubbot import settings
    from hubbot.cli.interrupts import stopping
    from hubbot.hub.client import default_hub
    from hubbot.jobs.audits import Auditing
    from hubbot.jobs.open_records import open_records

    wanted = {"hubbot": hubbot_version, "mlx-lm": mlx_lm_version}
    chosen_settings = settings.load()
    with open_records(chosen_settings) as records, stopping() as stop, bar("audit") as tell:
        auditing = Auditing(
            settings=chosen_settings,
            # An audit can wait: half of the Hub's quota is left to those who fetch and publish.
            hub=default_hub(chosen_settings.data_dir).sparing(0.5),
            queue=records.queue,
            results=records.results,
            progress=tell,
            cancelled=stop,
        )
        versions = {name: value for name, value in wanted.items() if value}
        chosen = auditing.chosen(versions, repo or (), known_bad=known_bad)
        if remake:
            _remake(records, chosen, dry_run=dry_run, as_json=as_json)
            return
        audited = [] if dry_run else list(auditing.run(chosen))
    if as_json:
        print_json({"chosen": [_chosen(item) for item in chosen], "audited": [item.to_json() for item in audited]})
    elif dry_run:
        _print_chosen(chosen)
    else:
        _print_audited(audited)
    if any(item.verdict == "refused" for item in audited):
        raise typer.Exit(1)


def _remake(records: "Records", chosen: "Sequence[PublishedVariant]", *, dry_run: bool, as_json: bool) -> None:
    from hubbot import settings
    from hubbot.hub.client import default_hub
    from hubbot.jobs.remakes import Remaking

    remaking = Remaking(settings=settings.load(), hub=default_hub(), queue=records.queue, results=records.results)
    found = list(remaking.run(chosen, dry_run=dry_run))
    if as_json:
        print_json({"remade": [item.to_json() for item in found]})
    else:
        _print_remade(found, dry_run=dry_run)


def _print_remade(found: "Sequence[Remade]", *, dry_run: bool) -> None:
    due = [item for item in found if item.is_due]
    done = "would be made anew" if dry_run else "are made anew"
    rows = table(f"{len(due)} of {len(found)} {done}", "repo", "why", "job")
    for item in sorted(found, key=lambda item: not item.is_due):
        rows.add_row(item.repo, item.reason, f"job {item.job_id}" if item.job_id else "")
    data.print(rows)
    if any(item.job_id for item in found):
        talk.print("the jobs are in the queue; `hubbot run` works on them")


def _chosen(item: "PublishedVariant") -> dict[str, object]:
    from hubbot.catalogue.known_bad_versions import touching

    return {
        "repo": item.target_repo,
        "source": f"{item.source_repo}@{item.source_revision}",
        "variant": item.variant,
        "made_with": item.made_with,
        "known_bad": [_fault(row) for row in touching(item.made_with, item.model_type, item.variant)],
    }


def _fault(row: "KnownBad") -> str:
    return f"{row.package} {row.first} to {row.last}: {row.wrong} ({row.issue})"


def _print_chosen(chosen: "Sequence[PublishedVariant]") -> None:
    from hubbot.catalogue.known_bad_versions import touching

    rows = table(f"{len(chosen)} would be audited", "repo", "source", "made with", "known to be wrong")
    for item in chosen:
        versions = ", ".join(f"{name} {version}" for name, version in item.made_with.items())
        faults = "; ".join(map(_fault, touching(item.made_with, item.model_type, item.variant)))
        rows.add_row(item.target_repo, f"{item.source_repo}@{item.source_revision[:8]}", versions, faults)
    data.print(rows)


def _print_audited(audited: "Sequence[Audited]") -> None:
    rows = table(f"{len(audited)} audited", "repo", "verdict", "why", "repair")
    for item in sorted(audited, key=lambda item: item.verdict == "approved"):
        colour = COLOURS.get(item.verdict, "yellow")
        repair = f"job {item.job_id}" if item.job_id else ""
        rows.add_row(item.repo, styled(colour, item.verdict), item.reason, repair)
    data.print(rows)
    for item in audited:
        if item.offer:
            talk.print(f"{item.repo}: {item.offer}")
    if any(item.job_id for item in audited):
        talk.print("the repairs are in the queue; `hubbot run` works on them")
