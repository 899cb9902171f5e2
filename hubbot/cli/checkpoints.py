"""Commands on one checkpoint or artifact: inspect, convert, verify, smoke."""

import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hubbot.cli.bars import bar
from hubbot.cli.options import Json, Revision
from hubbot.cli.output import data, print_json, table, talk
from hubbot.engine.memory import peak_resident_bytes
from hubbot.files.sizes import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubbot.artifacts import Artifact, Report
    from hubbot.plans import Plan

Source = Annotated[str, typer.Argument(help="A folder of this machine or a repo id.", show_default=False)]
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
Corpus = Annotated[
    Path | None,
    typer.Option(
        "--corpus",
        help="Text file to compare the models on; the default ships with hubbot.",
        exists=True,
        dir_okay=False,
    ),
]
SHOWN_FINDINGS = 40


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    panel = "Checkpoints"
    app.command("inspect", rich_help_panel=panel)(inspect_command)
    app.command("convert", rich_help_panel=panel)(convert_command)
    app.command("verify", rich_help_panel=panel)(verify_command)
    app.command("smoke", rich_help_panel=panel)(smoke_command)


def inspect_command(source: Source, revision: Revision = None, as_json: Json = False) -> None:
    """Say what is in a checkpoint, its expert layout and the evidence; reads config and headers only.

    Example: hubbot inspect Qwen/Qwen3-30B-A3B
    """
    from hubbot import settings
    from hubbot.cli.arguments import open_source
    from hubbot.cli.verdicts import print_verdict, verdict_of

    record = verdict_of(open_source(source, revision), extensions=settings.load().extensions)
    if as_json:
        print_json(record)
    else:
        print_verdict(record)


def convert_command(
    source: Source,
    out: Annotated[Path, typer.Option("--out", "-o", help="DIR/<variant>/ becomes a complete MLX repo each.")],
    variant: Variants = None,
    revision: Revision = None,
    recipe: Recipes = None,
    extensions: Extensions = None,
    verify: Annotated[bool, typer.Option("--verify", help="Run the referee on every variant.")] = False,
    free_source: Annotated[
        bool,
        typer.Option("--free-source", help="Release each downloaded shard once nothing needs it; for repo ids."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and predict, write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Convert a checkpoint to one or more MLX variants in one pass over its weights.

    Example: hubbot convert ./Mixtral-8x7B --out ./mlx --variant bf16 --variant 4bit --verify
    """
    from hubbot import settings
    from hubbot.catalogue.variants.recipes import read_recipe
    from hubbot.cli.conversions import Conversion
    from hubbot.cli.freed import FreedConversion
    from hubbot.steps.convert import check_memory

    chosen = settings.load(**({} if extensions is None else {"extensions": extensions}))
    conversion = (
        FreedConversion(settings=chosen, source=source, revision=revision, out=out, judged=verify)
        if free_source
        else Conversion(settings=chosen, source=source, revision=revision, out=out)
    )
    own = tuple(read_recipe(path) for path in recipe or ())
    named = tuple(dict.fromkeys(variant or (() if own else chosen.variants)))
    plan = conversion.plan((*named, *own))
    if dry_run:
        _print_plan(plan.to_json(), conversion.peak_disk_bytes(plan), as_json=as_json)
        return
    check_memory(plan)
    started = time.monotonic()
    artifacts = conversion.convert(plan)
    reports = conversion.verify(artifacts) if verify else []
    conversion.write_cards(plan, artifacts, reports)
    record = _conversion_record(plan, artifacts, reports, seconds=time.monotonic() - started)
    if as_json:
        print_json(record)
    else:
        _print_conversion(record, plan)
    for report in reports:
        report.approve()


def verify_command(
    source: Source,
    artifact: Annotated[str, typer.Argument(help="A converted folder or MLX repo id.", show_default=False)],
    revision: Revision = None,
    corpus: Corpus = None,
    as_json: Json = False,
) -> None:
    """Judge an artifact against its source; exit 0 if approved, 1 if refused. Whoever made it.

    Example: hubbot verify ./Mixtral-8x7B ./mlx/4bit
    """
    from hubbot import settings
    from hubbot.cli.arguments import artifact_folder
    from hubbot.cli.conversions import Staging, Trial, judge_in_child

    chosen = settings.load(**({"corpus": corpus} if corpus else {}))
    with tempfile.TemporaryDirectory(prefix="hubbot-") as staging:
        root = Path(staging)
        staged = Staging(source=source, revision=revision, folder=root / "source")
        checkpoint = staged.checkpoint()
        with bar("fetch") as tell:
            folder = artifact_folder(artifact, root / "artifact", tell)
        checkpoint, source_folder = staged.bring(checkpoint, chosen)
        with bar("verify") as tell:
            trial = Trial(source=source_folder, artifact=folder, root=root / "judge", answers=root / "answers")
            report = judge_in_child(chosen, checkpoint, trial, tell)
    if as_json:
        print_json({key: report.to_json()[key] for key in ("verdict", "gates", "findings")})
    else:
        _print_report(report.to_json())
    if report.verdict != "approved":
        raise typer.Exit(1)


def smoke_command(
    artifact: Annotated[str, typer.Argument(help="A converted folder or MLX repo id.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Let an artifact speak, in a child process with limits, and look for NaN, silence, loops and noise.

    Example: hubbot smoke ./mlx/4bit
    """
    from hubbot import settings
    from hubbot.cli.arguments import artifact_folder
    from hubbot.jobs import child

    chosen = settings.load()
    with tempfile.TemporaryDirectory(prefix="hubbot-") as staging, bar("smoke") as tell:
        folder = artifact_folder(artifact, Path(staging) / "artifact", tell)
        record = child.run(
            ["smoke"],
            {"folder": str(folder), "max_tokens": chosen.smoke_tokens},
            timeout_seconds=chosen.smoke_seconds,
            cancelled=threading.Event(),
            on_progress=lambda _fields: None,
            **child.child_settings(chosen),
        )
    if as_json:
        print_json(record)
        return
    for sample in record["samples"]:
        data.print(f"[bold]> {sample['prompt']}[/bold]")
        data.print(sample["text"].strip(), markup=False)
        how = f"sampled at {sample['temperature']}" if sample["temperature"] else "greedy"
        data.print(
            f"[dim]{how}: first of {sample['tokens']} tokens after {sample['first_token_seconds']} s, prompt "
            f"{sample['prompt_tokens_per_second']} tokens/s, then {sample['tokens_per_second']} tokens/s[/dim]\n"
        )
    for warning in record["warnings"]:
        talk.print(f"[yellow]warning[/yellow]: {warning}")
    data.print(f"[green]it speaks[/green]; peak memory {readable(record['peak_memory_bytes'])}")


def _conversion_record(
    plan: "Plan", artifacts: "Sequence[Artifact]", reports: "Sequence[Report]", *, seconds: float
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "source": plan.source.id,
        "revision": plan.source.revision,
        "layout": plan.layout.to_json(),
        "variants": [
            {"name": a.variant, "path": a.path, "bytes": a.nbytes, "bits_per_weight": a.bits_per_weight}
            for a in artifacts
        ],
        "dropped": [asdict(drop) for drop in plan.drops],
        "seconds": round(seconds, 2),
        "peak_memory_bytes": peak_resident_bytes(),
    }
    if reports:
        record["verified"] = {report.artifact.variant: report.verdict for report in reports}
    return record


def _print_plan(plan: dict[str, Any], peak_disk_bytes: int, *, as_json: bool) -> None:
    summary = {
        "source": plan["source"]["id"],
        "revision": plan["source"]["revision"],
        "layout": plan["layout"],
        "variants": [
            {"name": v["name"], "bytes": v["nbytes"], "bits_per_weight": v["bits_per_weight"]}
            for v in plan["variants"]
        ],
        "dropped": plan["drops"],
        "config_origins": plan["origins"],
        "disk_bytes": plan["disk_bytes"],
        "peak_disk_bytes": peak_disk_bytes,
        "memory_bytes": plan["memory_bytes"],
    }
    if as_json:
        print_json(summary)
        return
    made = table(f"{summary['source']}: what would be made", "variant", "bits/weight", "bytes")
    for variant in summary["variants"]:
        made.add_row(variant["name"], f"{variant['bits_per_weight']:.2f}", readable(variant["bytes"]))
    data.print(made)
    disk, memory = readable(plan["disk_bytes"]), readable(plan["memory_bytes"])
    data.print(f"variants {disk}, disk at most {readable(peak_disk_bytes)}, memory at most {memory}")


def _print_conversion(record: dict[str, Any], plan: "Plan") -> None:
    made = table(
        f"{record['source']}: converted in {record['seconds']} s", "variant", "bits/weight", "bytes", "path"
    )
    for item in record["variants"]:
        made.add_row(item["name"], f"{item['bits_per_weight']:.2f}", readable(item["bytes"]), item["path"])
    data.print(made)
    for drop in record["dropped"]:
        data.print(f"left out {drop['name']}: {drop['reason']}", markup=False)
    for name, verdict in record.get("verified", {}).items():
        data.print(f"{name}: {verdict}")
    for variant in plan.variants:
        for reason, count in Counter(drop.reason for drop in variant.unquantized).items():
            talk.print(f"{variant.name}: {count} tensors stay unquantized: {reason}", markup=False)
    if "verified" not in record:
        talk.print("not verified; `hubbot verify SOURCE FOLDER` or --verify runs the referee")


def _print_report(report: dict[str, Any]) -> None:
    colour = "green" if report["verdict"] == "approved" else "red"
    data.print(f"[bold {colour}]{report['verdict']}[/bold {colour}]")
    data.print("  ".join(f"{gate}: {status}" for gate, status in report["gates"].items()))
    for tier in (f for f in report["findings"] if f["check"] == "tier" and f["status"] == "pass"):
        data.print(f"behaviour is {tier['reason']}")
    order = {"fail": 0, "not-run": 1, "not-applicable": 2, "pass": 3}
    findings = sorted(report["findings"], key=lambda finding: order[finding["status"]])
    made = table("Findings, worst first", "status", "check", "subject", "what was found")
    for finding in [finding for finding in findings if finding["status"] != "pass"][:SHOWN_FINDINGS]:
        numbers = f"; measured {finding['measured']}, allowed {finding['allowed']}"
        told = finding["reason"] + (numbers if finding["status"] == "fail" else "")
        made.add_row(finding["status"], f"{finding['gate']}: {finding['check']}", finding["subject"], told)
    data.print(made)
    passed = sum(1 for finding in findings if finding["status"] == "pass")
    data.print(f"{passed} of {len(findings)} findings passed; --json shows all of them")
