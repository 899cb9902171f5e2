"""The command that rewrites a checkpoint's experts in another form: `hubbot relayout`."""

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hubbot.catalogue.experts.expert_layouts import TARGETS, spelled, target_named
from hubbot.cli.bars import bar
from hubbot.cli.checkpoints import Source
from hubbot.cli.options import DryRun, Json, Revision
from hubbot.cli.output import data, print_json
from hubbot.engine.memory import peak_resident_bytes
from hubbot.files.sizes import readable

if TYPE_CHECKING:
    from hubbot.catalogue.experts.relayout_moves import Rearrangement
    from hubbot.checkpoints import Checkpoint

FORMS = tuple(map(spelled, TARGETS))


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("relayout", rich_help_panel="Checkpoints")(relayout_command)


def relayout_command(
    source: Source,
    to: Annotated[str, typer.Option("--to", help=f"The form: {', '.join(FORMS)}.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that becomes the rewritten checkpoint.")],
    revision: Revision = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Rewrite a checkpoint's experts in another form, bit for bit; every other tensor and file stays as it is.

    per-expert is one tensor per expert and projection; stacked keeps gate, up and down apart, as VeOmni trains
    them; stacked-fused joins gate and up to [E, 2I, H], as transformers 5 and mlx-vlm expect;
    stacked-fused-transposed is [E, H, 2I]. The words are those of `hubbot layouts`. Nothing is computed, nothing
    runs, and every form can be turned back into any other.

    Example: hubbot relayout ./Qwen3-30B-A3B --to stacked-fused --out ./Qwen3-30B-A3B-fused
    """
    from hubbot import settings
    from hubbot.catalogue.experts.relayout_moves import rearrangement
    from hubbot.errors import WrongUsage

    layout = target_named(to)
    if layout is None:
        raise WrongUsage(f"there is no form {to!r}", hint=f"one of: {' '.join(FORMS)}")
    chosen = settings.load()
    checkpoint = _checkpoint(source, revision)
    made = rearrangement(checkpoint, layout)
    record = _record(checkpoint, made)
    if not dry_run:
        started = time.monotonic()
        files = _relayout(source, checkpoint, made, out.expanduser().resolve(), chosen)
        record["path"] = str(out.expanduser().resolve())
        record["bytes"] = sum(file.size for file in files)
        record["seconds"] = round(time.monotonic() - started, 2)
        record["peak_memory_bytes"] = peak_resident_bytes()
    if as_json:
        print_json(record)
    else:
        _print(record)


def _checkpoint(source: str, revision: str | None) -> "Checkpoint":
    from hubbot.cli.arguments import open_source
    from hubbot.steps.inspect import inspect

    return inspect(open_source(source, revision))


def _relayout(source: str, checkpoint: "Checkpoint", made: "Rearrangement", out: Path, chosen: Any) -> Any:
    from hubbot.steps.relayout import relayout

    staging = out.parent / f".{out.name}.source"
    checkpoint, folder = _brought(source, checkpoint, staging, chosen)
    with bar("relayout") as tell:
        files = relayout(
            checkpoint,
            made,
            source=folder,
            out=out,
            working_bytes=chosen.working_bytes,
            shard_bytes=chosen.shard_bytes,
            progress=tell,
        )
    shutil.rmtree(staging, ignore_errors=True)
    return files


def _brought(source: str, checkpoint: "Checkpoint", staging: Path, chosen: Any) -> "tuple[Checkpoint, Path]":
    """Return the checkpoint and the folder with its files; pickled weights as safetensors in `staging`."""
    from hubbot.pickles.pickle_files import has_pickles

    folder = _fetched(source, checkpoint, staging)
    if not has_pickles(checkpoint):
        return checkpoint, folder
    from hubbot.cli.conversions import unpickled_in_child
    from hubbot.steps.relayout import side_files

    found, staged = unpickled_in_child(checkpoint, folder, staging, chosen)
    for file in side_files(checkpoint):
        shutil.copyfile(folder / file.path, staged / file.path)
    return found, staged


def _fetched(source: str, checkpoint: "Checkpoint", staging: Path) -> Path:
    """Return the folder with the weights; a repo's stay in `staging` until the work is done."""
    from hubbot.cli.arguments import is_folder

    if is_folder(source):
        return Path(source).expanduser().resolve()
    from hubbot.files.atomic_folders import check_room
    from hubbot.hub.client import default_hub
    from hubbot.pickles.pickle_files import has_pickles
    from hubbot.steps.relayout import side_files

    names = {*checkpoint.shards, *(file.path for file in side_files(checkpoint))}
    files = tuple(file for file in checkpoint.files if file.path in names)
    staging.mkdir(parents=True, exist_ok=True)
    here = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
    copies = 2 if has_pickles(checkpoint) else 1
    needed = sum(file.size for file in files) - here + copies * checkpoint.weight_bytes
    check_room(staging, needed, purpose="the download with the relayout")
    with bar("fetch") as tell:
        default_hub().fetch(checkpoint.repo, files, staging, tell)
    return staging


def _record(checkpoint: "Checkpoint", made: "Rearrangement") -> dict[str, Any]:
    first = made.layers[0]
    return {
        "source": checkpoint.repo.id,
        "revision": checkpoint.repo.revision,
        "model_type": checkpoint.model_type,
        "to": made.to,
        "order": made.form.order,
        "experts": first.experts,
        "moe_layers": len(made.layers),
        "tensors": {"source": len(checkpoint.tensors), "out": len(made.outputs)},
        "bytes": checkpoint.weight_bytes,
        "examples": _examples(made),
    }


def _examples(made: "Rearrangement") -> list[dict[str, Any]]:
    """Return one tensor of each kind: what it is called, how large it is, and what it is made of."""
    shown: dict[tuple[str, ...], dict[str, Any]] = {}
    for output in made.outputs:
        if output.pieces:
            key = tuple(part for part in output.name.split(".") if not part.isdigit())
            sources = list(dict.fromkeys(piece.source.tensor for piece in output.pieces))
            entry = {
                "name": output.name,
                "shape": list(output.shape),
                "dtype": output.dtype,
                "sources": sources[:2],
            }
            shown.setdefault(key, entry)
    return list(shown.values())


def _print(record: dict[str, Any]) -> None:
    order = f", gate and up {record['order']}" if record["order"] else ""
    data.print(
        f"[bold]{record['source']}[/bold]: {record['experts']} experts in {record['moe_layers']} layers, "
        f"{record['tensors']['source']} tensors become {record['tensors']['out']}{order}"
    )
    for example in record["examples"]:
        data.print(f"  {example['name']} {example['shape']} {example['dtype']}", markup=False)
    if "path" in record:
        told = f"{readable(record['bytes'])} written to {record['path']} in {record['seconds']} s"
        data.print(f"[green]done[/green]: {told}")
    else:
        data.print(f"{readable(record['bytes'])} of weights would be written; nothing was")
