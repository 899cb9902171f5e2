"""The command that lists what is on the Hub."""

from typing import TYPE_CHECKING, Annotated

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, table, talk
from hubbot.files.sizes import readable

if TYPE_CHECKING:
    from hubbot.store.records import PublishedVariant


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("published", rich_help_panel="Jobs")(published_command)


def published_command(
    text: Annotated[str, typer.Argument(help="Part of the name of a source or a repo.", show_default=False)] = "",
    variant: Annotated[str | None, typer.Option("--variant", "-v", help="Only this variant.")] = None,
    model_type: Annotated[str | None, typer.Option("--type", help="Only this model type.")] = None,
    mac: Annotated[int | None, typer.Option("--mac", help="Only what fits a Mac with so many GB.")] = None,
    quality: Annotated[
        str | None, typer.Option("--quality", help="Only what is excellent, good or fair, or better.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Older publications of a repo, too.")] = False,
    browse: Annotated[bool, typer.Option("--open", help="Open the newest of them in a browser.")] = False,
    as_json: Json = False,
) -> None:
    """List what hubbot has published, newest first; filter it, open it.

    Example: hubbot published qwen --mac 32 --quality good --open
    """
    from hubbot import settings
    from hubbot.cards.memory_needs import usable_bytes
    from hubbot.catalogue.variants.tiers import QUALITIES, quality_of
    from hubbot.errors import WrongUsage
    from hubbot.jobs.open_records import open_records

    if quality is not None and quality not in QUALITIES:
        raise WrongUsage(f"there is no quality {quality!r}", hint=f"one of: {' '.join(QUALITIES)}")
    with open_records(settings.load()) as records:
        found = records.results.publications()
    newest = found if every else list({item.target_repo: item for item in reversed(found)}.values())[::-1]
    chosen = [
        item
        for item in newest
        if text.lower() in f"{item.source_repo} {item.target_repo}".lower()
        and variant in {None, item.variant}
        and model_type in {None, item.model_type}
        and (mac is None or (item.memory_bytes or item.bytes) <= usable_bytes(mac))
        and (quality is None or (item.kl_mean is not None and item.kl_mean <= QUALITIES[quality]))
    ]
    if browse:
        _open(chosen)
    if as_json:
        print_json({"published": [item.to_json() for item in chosen]})
        return
    rows = table(f"{len(chosen)} published", "repo", "source", "variant", "size", "quality", "bits", "when")
    for item in chosen:
        rows.add_row(
            item.target_repo,
            f"{item.source_repo}@{item.source_revision[:8]}",
            item.variant,
            readable(item.bytes),
            "" if item.kl_mean is None else f"{quality_of(item.kl_mean)} ({item.kl_mean:.4f})",
            f"{item.bits_per_weight:.2f}",
            item.published_at.isoformat()[:16],
        )
    data.print(rows)


def _open(chosen: "list[PublishedVariant]") -> None:
    """Open the newest repo in a browser; say its address in any case."""
    from hubbot.errors import WrongUsage

    address = next((str(item.report.get("url") or "") for item in chosen), "")
    if not address.startswith(("https://", "http://")):
        raise WrongUsage("nothing that is published is like that", hint="`hubbot published` lists everything")
    talk.print(f"opening {address}", soft_wrap=True)
    typer.launch(address)
