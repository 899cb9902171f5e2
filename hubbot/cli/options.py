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
JobIds = Annotated[
    list[int] | None,
    typer.Argument(min=1, max=2**31 - 1, help="Jobs by their numbers, or by the options.", show_default=False),
]
States = Annotated[list[str] | None, typer.Option("--state", help="Jobs in this state; repeat for several.")]
Match = Annotated[str | None, typer.Option("--match", help="Jobs whose repo id matches a pattern: 'Qwen/*'.")]
Kind = Annotated[str | None, typer.Option("--error", help="Jobs whose last error is of this kind: NoRuntime.")]
Runner = Annotated[str | None, typer.Option("--runner", help="Only the runner of this name, instead of all.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, change nothing.")]
Once = Annotated[bool, typer.Option("--once", help="Do it once and end, instead of going on for ever.")]
