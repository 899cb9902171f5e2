"""The command that says what a checkpoint is: `hubbot inspect`."""

from typing import Annotated, Any

import typer

from hubbot.cli.options import Json, Revision, Source
from hubbot.cli.output import data, print_json, styled
from hubbot.files.sizes import readable


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("inspect", rich_help_panel="Checkpoints")(inspect_command)


Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Exit as convert would: 0 convertible, 3 not for hubbot, 4 a person has to decide, 1 damaged.",
    ),
]


def inspect_command(
    source: Source, revision: Revision = None, strict: Strict = False, as_json: Json = False
) -> None:
    """Say what is in a checkpoint and whether convert would take it, with evidence; reads config and headers only.

    Example: hubbot inspect Qwen/Qwen3-30B-A3B --strict
    """
    from hubbot import settings
    from hubbot.cli.arguments import open_source
    from hubbot.conversion.verdict import verdict_of

    chosen = settings.load()
    verdict = verdict_of(
        open_source(source, revision),
        extensions=chosen.extensions,
        variants=chosen.variants,
        working_bytes=chosen.working_bytes,
    )
    if as_json:
        print_json(verdict.record)
    else:
        _print_verdict(verdict.record)
    if strict and verdict.exit_code:
        raise typer.Exit(verdict.exit_code)


def _print_verdict(record: dict[str, Any]) -> None:
    good = record["verdict"] == "convertible"
    colour = "green" if good else "yellow"
    data.print(styled("bold", record["repo"]), f"at {record['revision']}")
    data.print(styled(colour, record["verdict"]), *([f" {record['runtime']}"] if record["runtime"] else []))
    parameters = record["parameters"] or {}
    if parameters.get("total"):
        active = parameters.get("active")
        share = f", {active / 1e6:.2f} M active per token" if active else ""
        data.print(f"{record['model_type']}, {parameters['total'] / 1e6:.2f} M parameters{share}")
    if record["num_experts"] and record["moe_layers"]:
        data.print(
            f"{record['num_experts']} experts, {record['experts_per_token']} per token, "
            f"in {record['moe_layers']} of {record['layers']} layers"
        )
    for line in record["evidence"]:
        data.print(f"  - {line}")
    if record["hint"]:
        data.print(styled("cyan", "  ->"), record["hint"])
    data.print(styled("dim", f"{record['requests']} reads, {readable(record['bytes_read'])}"))
