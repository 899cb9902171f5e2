"""The command that says what a checkpoint is: `hubbot inspect`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from hubbot.cli.options import Json, Revision, Source
from hubbot.cli.output import data, print_json
from hubbot.errors import WrongUsage
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

    Of one weight file (.safetensors, .bin) it lists names, dtypes and shapes.

    Example: hubbot inspect Qwen/Qwen3-30B-A3B --strict
    """
    path = Path(source).expanduser()
    if path.is_file():
        _list_tensors(path, revision, as_json=as_json)
        return
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


def _list_tensors(path: Path, revision: str | None, *, as_json: bool) -> None:
    from hubbot.steps.inspect import tensors_of_file

    if revision:
        raise WrongUsage("--revision goes with a repo id, not with a file", where=str(path))
    tensors = tensors_of_file(path)
    elements, nbytes = sum(tensor.elements for tensor in tensors), sum(tensor.nbytes for tensor in tensors)
    if as_json:
        listed = [
            {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape), "bytes": tensor.nbytes}
            for tensor in tensors
        ]
        print_json({"file": str(path), "tensors": listed, "elements": elements, "bytes": nbytes})
        return
    for tensor in tensors:
        data.print(f"{escape(tensor.name)}  {escape(tensor.dtype)} {escape(str(list(tensor.shape)))}")
    data.print(f"[dim]{len(tensors)} tensors, {elements} elements, {readable(nbytes)}[/dim]")


def _print_verdict(record: dict[str, Any]) -> None:
    from hubbot.catalogue.packings import UNPACKED

    good = record["verdict"] == "convertible"
    colour = "green" if good else "yellow"
    data.print(f"[bold]{escape(record['repo'])}[/bold] at {record['revision']}")
    data.print(
        f"[{colour}]{record['verdict']}[/{colour}]" + (f"  {record['runtime']}" if record["runtime"] else "")
    )
    parameters = record["parameters"] or {}
    if parameters.get("total"):
        active = parameters.get("active")
        share = f", {active / 1e6:.2f} M active per token" if active else ""
        data.print(f"{escape(str(record['model_type']))}, {parameters['total'] / 1e6:.2f} M parameters{share}")
    if record["num_experts"] and record["moe_layers"]:
        data.print(
            f"{record['num_experts']} experts, {record['experts_per_token']} per token, "
            f"in {record['moe_layers']} of {record['layers']} layers"
        )
    packing = (record["layout"] or {}).get("packing")
    if packing not in {None, UNPACKED}:
        data.print(f"its weights are packed: {escape(str(packing))}")
    for line in record["evidence"]:
        data.print(f"  - {escape(line)}")
    if record["hint"]:
        data.print(f"  [cyan]->[/cyan] {escape(record['hint'])}")
    data.print(f"[dim]{record['requests']} reads, {readable(record['bytes_read'])}[/dim]")
