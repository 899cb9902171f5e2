"""The command that writes what is published as a static site: `hubbot catalog`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json

if TYPE_CHECKING:
    from hubbot.lifecycle import Job


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("catalog", rich_help_panel="Running")(catalog_command)


def catalog_command(
    out: Annotated[Path, typer.Option("--out", help="Folder to write; an older catalog in it is replaced.")],
    publish: Annotated[
        str | None,
        typer.Option("--publish", help="Push it as this static Space, ORG/NAME.", metavar="SPACE"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what is published as a static site: a page for every model, the catalogue of layouts, relative links.

    Example: hubbot catalog --out ./site --publish my-org/converted
    """
    from hubbot import settings
    from hubbot.errors import WrongUsage
    from hubbot.jobs.open_records import open_records, utc_now
    from hubbot.web import static_site
    from hubbot.web.site import Site

    def refuse(repo: str, revision: str | None, variants: tuple[str, ...], priority: int) -> "Job":
        del revision, variants, priority
        raise WrongUsage("a static site enqueues nothing", where=repo)

    chosen = settings.load()
    folder = out.expanduser().resolve()
    with open_records(chosen) as records:
        site = Site(
            settings=chosen,
            records=records,
            enqueue=refuse,
            token="",
            hosts=frozenset(),
            open_to_all=True,
            clock=utc_now,
        )
        models = static_site.write(site, folder)
    pushed = None if publish is None else _push(publish, folder, chosen.org)
    if as_json:
        print_json({"out": str(folder), "models": models, **({"space": pushed} if pushed else {})})
    else:
        data.print(f"{models} model{'s' if models != 1 else ''} in {folder / static_site.INDEX}", soft_wrap=True)
        if pushed:
            data.print(f"pushed to {pushed['url']}", soft_wrap=True)


def _push(space: str, folder: Path, org: str | None) -> dict[str, str]:
    from hubbot.errors import WrongUsage
    from hubbot.hub.client import default_hub

    if "/" not in space and not org:
        raise WrongUsage("whose Space is it?", hint="write ORG/NAME, or set org")
    repo_id = space if "/" in space else f"{org}/{space}"
    hub = default_hub()
    hub.require_token()
    return {"revision": hub.push_space(repo_id, folder), "url": f"{hub.endpoint}/spaces/{repo_id}"}
