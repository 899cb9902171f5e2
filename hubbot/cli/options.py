"""Options that several commands share, so that they read the same everywhere."""

from typing import Annotated

import typer

Source = Annotated[str, typer.Argument(help="A folder of this machine or a repo id.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Revision = Annotated[str | None, typer.Option("--revision", help="Branch, tag or commit of a repo id.")]
Repo = Annotated[str, typer.Argument(help="A repo id, name/model.", show_default=False)]
JobId = Annotated[
    int, typer.Argument(min=1, max=2**31 - 1, help="A job's number; `hubbot jobs` lists them.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, change nothing.")]
Once = Annotated[bool, typer.Option("--once", help="Do it once and end, instead of going on for ever.")]
