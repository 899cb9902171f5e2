"""The command that says what a checkpoint is: `hubbot inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hubbot.cli.options import Json, Revision, Source
from hubbot.cli.output import data, print_json, styled
from hubbot.errors import WrongUsage
from hubbot.files.sizes import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubbot.checkpoints import TensorInfo


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("inspect", rich_help_panel="Checkpoints")(inspect_command)


Tensors = Annotated[bool, typer.Option("--tensors", help="List every tensor: name, dtype and shape as stored.")]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Exit as convert would: 0 convertible, 3 not for hubbot, 4 a person has to decide, 1 damaged.",
    ),
]


def inspect_command(
    source: Source,
    revision: Revision = None,
    strict: Strict = False,
    tensors: Tensors = False,
    as_json: Json = False,
) -> None:
    """Say what is in a checkpoint and whether convert would take it, with evidence; reads config and headers only.

    Of one weight file (.safetensors, .bin) it lists names, dtypes and shapes, with --tensors of a checkpoint, too.
    An MLX repo is judged by itself: are all components there, in the shapes and bits that its config says?

    Example: hubbot inspect Qwen/Qwen3-30B-A3B --strict
    """
    path = Path(source).expanduser()
    if path.is_file():
        _list_tensors(path, revision, as_json=as_json)
        return
    from hubbot import settings
    from hubbot.cli.arguments import open_source
    from hubbot.conversion.verdict import verdict_of

    if tensors:
        _list_checkpoint(source, revision, as_json=as_json)
        return
    chosen = settings.load()
    verdict = verdict_of(
        open_source(source, revision),
        extensions=chosen.extensions,
        variants=chosen.variants,
        working_bytes=chosen.working_bytes,
        text_only=chosen.text_only,
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
    _print_tensors(str(path), tensors_of_file(path), as_json=as_json)


def _list_checkpoint(source: str, revision: str | None, *, as_json: bool) -> None:
    from hubbot.cli.arguments import open_source
    from hubbot.steps.inspect import inspect

    found = inspect(open_source(source, revision)).tensors
    _print_tensors(source, [found[name] for name in sorted(found)], as_json=as_json)


def _print_tensors(source: str, tensors: "Sequence[TensorInfo]", *, as_json: bool) -> None:
    elements, nbytes = sum(tensor.elements for tensor in tensors), sum(tensor.nbytes for tensor in tensors)
    if as_json:
        listed = [
            {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape), "bytes": tensor.nbytes}
            for tensor in tensors
        ]
        print_json({"file": source, "tensors": listed, "elements": elements, "bytes": nbytes})
        return
    for tensor in tensors:
        data.print(f"{tensor.name}  {tensor.dtype} {list(tensor.shape)}")
    data.print(styled("dim", f"{len(tensors)} tensors, {elements} elements, {readable(nbytes)}"))


def _print_verdict(record: dict[str, Any]) -> None:
    from hubbot.catalogue.packings import UNPACKED

    good = record["verdict"] in {"convertible", "mlx"}
    colour = "green" if good else "yellow"
    data.print(styled("bold", record["repo"]), f"at {record['revision']}")
    data.print(styled(colour, record["verdict"]), *([f" {record['runtime']}"] if record["runtime"] else []))
    if record["modality"]:
        data.print(record["modality"])
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
    packing = (record["layout"] or {}).get("packing")
    if packing not in {None, UNPACKED}:
        data.print(f"its weights are packed: {packing}")
    for line in record["evidence"]:
        data.print(f"  - {line}")
    if record["hint"]:
        data.print(styled("cyan", "  ->"), record["hint"])
    data.print(styled("dim", f"{record['requests']} reads, {readable(record['bytes_read'])}"))
