"""The command that rewrites a checkpoint's experts in another form: `hubbot relayout`."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hubbot.catalogue.experts import wanted_forms
from hubbot.catalogue.experts.expert_layouts import TARGETS, spelled, target_named
from hubbot.cli.options import DryRun, Json, Revision, Source
from hubbot.cli.output import data, print_json, styled
from hubbot.engine.memory import peak_resident_bytes
from hubbot.files.sizes import readable

if TYPE_CHECKING:
    from hubbot.catalogue.experts.relayout_moves import Rearrangement
    from hubbot.checkpoints import Checkpoint

FORMS = tuple(map(spelled, TARGETS))
EPILOG = "\n".join(["Which form who takes, as far as it was tried:", *wanted_forms.lines()])

Unpack = Annotated[
    str | None, typer.Option("--unpack", help="Decode packed weights to plain ones: bf16.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("relayout", rich_help_panel="Checkpoints", epilog=EPILOG)(relayout_command)


def relayout_command(
    source: Source,
    to: Annotated[str, typer.Option("--to", help=f"The form: {', '.join(FORMS)}.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that becomes the rewritten checkpoint.")],
    unpack: Unpack = None,
    revision: Revision = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Rewrite a checkpoint's experts in another form, bit for bit; every other tensor and file stays as it is.

    Of packed experts fp8 codes move together with their block scales; --unpack bf16 decodes any packing that
    convert reads. Code is never taken over: what is left out is listed, and config.json names it no more.

    per-expert is one tensor per expert and projection; stacked keeps gate, up and down apart, as VeOmni trains
    them; stacked-fused joins gate and up to [E, 2I, H], as transformers 5 keeps them and mlx-vlm takes Qwen3.5's;
    stacked-fused-transposed is [E, H, 2I], as mlx-vlm takes Qwen3-VL's. per-expert-up-first and mlx-switch are
    HunYuan's own. The words are those of `hubbot layouts`.
    Nothing but packed weights is computed, nothing runs, and every form can be turned back into any other.

    Example: hubbot relayout ./Qwen3-30B-A3B --to stacked-fused --out ./Qwen3-30B-A3B-fused
    """
    from hubbot import settings
    from hubbot.catalogue.experts.relayout_packed import packed_rearrangement
    from hubbot.cli.arguments import conversion_of
    from hubbot.conversion import relayout_in_folder, stages
    from hubbot.errors import WrongUsage

    layout = target_named(to)
    if layout is None:
        raise WrongUsage(f"there is no form {to!r}", hint=f"one of: {' '.join(FORMS)}")
    if unpack not in (None, "bf16"):
        raise WrongUsage(f"--unpack {unpack!r}", hint="weights are decoded to bf16")
    place = out.expanduser().resolve()
    with tempfile.TemporaryDirectory(prefix="hubbot-") as folder:
        conversion = conversion_of(source, revision, settings.load(), Path(folder))
        checkpoint = stages.inspect(conversion)
        made = packed_rearrangement(checkpoint, layout, unpack=unpack is not None)
        record = _record(checkpoint, made)
        if not dry_run and not made.is_there_already:
            started = time.monotonic()
            files = relayout_in_folder.relayout(conversion, checkpoint, made, place)
            record["path"] = str(place)
            record["bytes"] = sum(file.size for file in files)
            record["seconds"] = round(time.monotonic() - started, 2)
            record["peak_memory_bytes"] = peak_resident_bytes()
    if as_json:
        print_json(record)
    else:
        _print(record)


def _record(checkpoint: "Checkpoint", made: "Rearrangement") -> dict[str, Any]:
    from hubbot.checkpoints import stored_bytes
    from hubbot.steps.relayout import left_out, relaid

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
        "bytes": sum(stored_bytes(output.dtype, output.shape) for output in made.outputs),
        "already": made.is_there_already,
        "left_out": list(left_out(checkpoint, made)),
        "taken_by": list(wanted_forms.takers(checkpoint.model_type, made.to)),
        "convert_refuses": _refusal(relaid(checkpoint, made)),
        "examples": _examples(made),
    }


def _refusal(made: "Checkpoint") -> str | None:
    """Return why `hubbot convert` would not take what is made, or None where it does."""
    from hubbot.errors import HubbotError
    from hubbot.steps.classify import classify

    try:
        classify(made)
    except HubbotError as error:
        return error.message
    return None


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
        styled("bold", f"{record['source']}:"),
        f"{record['experts']} experts in {record['moe_layers']} layers, "
        f"{record['tensors']['source']} tensors become {record['tensors']['out']}{order}",
    )
    for example in record["examples"]:
        data.print(f"  {example['name']} {example['shape']} {example['dtype']}")
    for name in record["left_out"]:
        data.print(f"  left out: {name}")
    data.print(f"  {_whom(record)}")
    if record["already"]:
        data.print(
            styled("green", "nothing to do:"), f"it is {spelled(record['to'])} already; nothing was written"
        )
    elif "path" in record:
        size, seconds = readable(record["bytes"]), record["seconds"]
        data.print(styled("green", "done:"), f"{size} written to {record['path']} in {seconds} s")
    else:
        data.print(f"{readable(record['bytes'])} of weights would be written; nothing was")


def _whom(record: dict[str, Any]) -> str:
    """Say whom the form is for: the programs that were tried, and whether hubbot's own convert is one of them."""
    programs = ", ".join(record["taken_by"])
    tried = (
        f"{record['model_type']} in this form is taken by {programs}"
        if programs
        else "no other program was tried with it"
    )
    refused = record["convert_refuses"]
    return f"{tried}; hubbot convert " + (f"does not take it: {refused}" if refused else "takes it")
