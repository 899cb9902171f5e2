"""The command that makes MLX variants of a checkpoint: `hubbot convert`."""

import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hubbot.cli.options import Json, Revision, Source
from hubbot.cli.output import data, print_json, table, talk
from hubbot.engine.memory import peak_resident_bytes
from hubbot.files.sizes import readable

if TYPE_CHECKING:
    from hubbot.checkpoints import Checkpoint
    from hubbot.conversion.in_folder import Finished
    from hubbot.plans import Plan

Variants = Annotated[
    list[str] | None,
    typer.Option("--variant", "-v", help="Variant to make; repeat for several. Default: the settings' list."),
]
Recipes = Annotated[
    list[Path] | None,
    typer.Option("--recipe", help="TOML file with a recipe of your own; repeat for several."),
]
Extensions = Annotated[
    bool | None,
    typer.Option(
        "--extensions/--no-extensions",
        help="Convert what runs only with a model file of hubbot's own, or refuse it. Default: the settings'.",
        show_default=False,
    ),
]


TextOnly = Annotated[
    bool | None,
    typer.Option(
        "--text-only/--with-images",
        help="Leave out what a model sees with, or keep it where mlx-vlm can run it. Default: the settings'.",
        show_default=False,
    ),
]

FreeSource = Annotated[
    bool,
    typer.Option("--free-source", help="Release each downloaded shard once nothing needs it; for repo ids."),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", help="Say on stderr what every parameter is made of, and where that is."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("convert", rich_help_panel="Checkpoints")(convert_command)


def convert_command(
    source: Source,
    out: Annotated[Path, typer.Option("--out", "-o", help="DIR/<variant>/ becomes a complete MLX repo each.")],
    variant: Variants = None,
    revision: Revision = None,
    recipe: Recipes = None,
    extensions: Extensions = None,
    text_only: TextOnly = None,
    verify: Annotated[bool, typer.Option("--verify", help="Run the referee on every variant.")] = False,
    free_source: FreeSource = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and predict, write nothing.")] = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Convert a checkpoint to one or more MLX variants in one pass over its weights.

    Example: hubbot convert ./Mixtral-8x7B --out ./mlx --variant bf16 --variant 4bit --verify
    """
    from hubbot import settings
    from hubbot.catalogue.variants.recipes import read_recipe
    from hubbot.cli.arguments import conversion_of
    from hubbot.conversion import in_folder
    from hubbot.jobs import child
    from hubbot.jobs.kept_children import KeptChildren
    from hubbot.steps.plan import variant_named

    chosen = settings.load(**_said(extensions=extensions, text_only=text_only))
    recipes = tuple(recipe or ())
    for path in recipes:
        read_recipe(path)  # a fault in it is told before the look at the source
    names = tuple(dict.fromkeys(variant or (() if recipes else chosen.variants)))
    for name in names:
        variant_named(name)
    with (
        tempfile.TemporaryDirectory(prefix="hubbot-") as folder,
        closing(KeptChildren[child.Child]()) as kept,
    ):
        conversion = conversion_of(source, revision, chosen, Path(folder), here=("plan", "convert"), kept=kept)
        strategy = (
            in_folder.free_source(conversion.origin, judged=verify) if free_source else in_folder.whole_source
        )
        conversion = replace(conversion, variants=names, recipes=recipes, strategy=strategy)
        plan, peak_disk_bytes = in_folder.plan(conversion)
        if verbose:
            _print_moves(plan, conversion.workspace.checkpoint())
        if dry_run:
            _print_plan(plan.to_json(), peak_disk_bytes, plan.modality, as_json=as_json)
            return
        if verify:
            child.prepare(chosen, kept, 0)  # it loads its libraries while the conversion runs here
        started = time.monotonic()
        finished = in_folder.convert(conversion, out.expanduser().resolve(), verified=verify)
    record = _conversion_record(plan, finished, seconds=time.monotonic() - started)
    _show(record, plan, as_json=as_json)
    for report in finished.reports:
        report.approve()


def _said(**options: bool | None) -> dict[str, bool]:
    """Return the options that were said: the others are the settings'."""
    return {key: value for key, value in options.items() if value is not None}


def _print_moves(plan: "Plan", checkpoint: "Checkpoint") -> None:
    """Say of every parameter what the model expects, and what was found for it under which name in which file."""
    packed = {one.name: one for one in plan.packed}
    for move in plan.moves:
        first = move.sources[0]
        kind = packed[first].packing if first in packed else "plain"
        parts = [part.tensor for part in packed[first].parts.values()] if first in packed else [first]
        stored = [checkpoint.tensors[name] for name in parts]
        found = ", ".join(f"{info.name} {list(info.shape)} {info.dtype} in {info.shard}" for info in stored)
        more = f" and {len(move.sources) - 1} more" if len(move.sources) > 1 else ""
        talk.print(f"{move.output}: expected {list(move.shape)}; found {kind} {found}{more}")
    for drop in plan.drops:
        talk.print(f"{drop.name}: left out: {drop.reason}")


def _conversion_record(plan: "Plan", finished: "Finished", *, seconds: float) -> dict[str, Any]:
    record: dict[str, Any] = {
        "source": plan.source.id,
        "revision": plan.source.revision,
        "layout": plan.layout.to_json(),
        "variants": [
            {"name": a.variant, "path": a.path, "bytes": a.nbytes, "bits_per_weight": a.bits_per_weight}
            for a in finished.artifacts
        ],
        "dropped": [asdict(drop) for drop in plan.drops],
        "modality": plan.modality,
        "seconds": round(seconds, 2),
        "stage_seconds": dict(finished.seconds),
        "peak_memory_bytes": peak_resident_bytes(),
    }
    if finished.reports:
        record["verified"] = {report.artifact.variant: report.verdict for report in finished.reports}
        record["gate_seconds"] = {report.artifact.variant: dict(report.seconds) for report in finished.reports}
    return record


def _print_plan(plan: dict[str, Any], peak_disk_bytes: int, modality: str, *, as_json: bool) -> None:
    summary = {
        "source": plan["source"]["id"],
        "revision": plan["source"]["revision"],
        "layout": plan["layout"],
        "variants": [
            {"name": v["name"], "bytes": v["nbytes"], "bits_per_weight": v["bits_per_weight"]}
            for v in plan["variants"]
        ],
        "dropped": plan["drops"],
        "modality": modality,
        "config_origins": plan["origins"],
        "disk_bytes": plan["disk_bytes"],
        "peak_disk_bytes": peak_disk_bytes,
        "memory_bytes": plan["memory_bytes"],
    }
    if as_json:
        print_json(summary)
        return
    rows = table(f"{summary['source']}: what would be made", "variant", "bits/weight", "bytes")
    for variant in summary["variants"]:
        rows.add_row(variant["name"], f"{variant['bits_per_weight']:.2f}", readable(variant["bytes"]))
    data.print(rows)
    data.print(modality)
    disk, memory = readable(plan["disk_bytes"]), readable(plan["memory_bytes"])
    data.print(f"variants {disk}, disk at most {readable(peak_disk_bytes)}, memory at most {memory}")


def _show(record: dict[str, Any], plan: "Plan", *, as_json: bool) -> None:
    if as_json:
        print_json(record)
    else:
        _print_conversion(record, plan)


def _print_conversion(record: dict[str, Any], plan: "Plan") -> None:
    rows = table(
        f"{record['source']}: converted in {record['seconds']} s", "variant", "bits/weight", "bytes", "path"
    )
    for item in record["variants"]:
        rows.add_row(item["name"], f"{item['bits_per_weight']:.2f}", readable(item["bytes"]), item["path"])
    data.print(rows)
    data.print(record["modality"])
    for drop in record["dropped"]:
        data.print(f"left out {drop['name']}: {drop['reason']}")
    for name, verdict in record.get("verified", {}).items():
        data.print(f"{name}: {verdict}")
    for variant in plan.variants:
        for reason, count in Counter(drop.reason for drop in variant.unquantized).items():
            talk.print(f"{variant.name}: {count} tensors stay unquantized: {reason}")
    if "verified" not in record:
        talk.print("not verified; `hubbot verify SOURCE FOLDER` or --verify runs the referee")
