"""The command that judges an artifact against its source: `hubbot verify`."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from hubbot.cli.bars import bar
from hubbot.cli.options import Json, Revision, Source
from hubbot.cli.output import data, print_json, styled, table

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
    """Add the command to the command line."""
    app.command("verify", rich_help_panel="Checkpoints")(verify_command)


def verify_command(
    source: Source,
    artifact: Annotated[str, typer.Argument(help="A converted folder or MLX repo id.", show_default=False)],
    revision: Revision = None,
    corpus: Corpus = None,
    as_json: Json = False,
) -> None:
    """Judge an artifact against its source; exit 0 if approved, 1 if refused. Whoever judged it.

    Example: hubbot verify ./Mixtral-8x7B ./mlx/4bit
    """
    from hubbot import settings
    from hubbot.cli.arguments import artifact_folder, conversion_of
    from hubbot.conversion import stages
    from hubbot.conversion.conversion import reading_in_place
    from hubbot.conversion.source_files import bring_source

    chosen = settings.load(**({"corpus": corpus} if corpus else {}))
    with tempfile.TemporaryDirectory(prefix="hubbot-") as folder:
        root = Path(folder)
        conversion = conversion_of(source, revision, chosen, root / "work")
        checkpoint = stages.inspect(conversion)
        with bar("fetch") as progress:
            judged = artifact_folder(artifact, root / "artifact", progress)
        conversion = reading_in_place(conversion, checkpoint)
        bring_source(conversion, checkpoint, room_for=0)
        report = stages.judge_folder(conversion, judged)
    if as_json:
        print_json({key: report.to_json()[key] for key in ("verdict", "gates", "findings", "seconds")})
    else:
        _print_report(report.to_json())
    if report.verdict != "approved":
        raise typer.Exit(1)


def _print_report(report: dict[str, Any]) -> None:
    colour = "green" if report["verdict"] == "approved" else "red"
    data.print(styled(f"bold {colour}", report["verdict"]))
    data.print("  ".join(f"{gate}: {status}" for gate, status in report["gates"].items()))
    for tier in (f for f in report["findings"] if f["check"] == "tier" and f["status"] == "pass"):
        data.print(f"behaviour is {tier['reason']}")
    order = {"fail": 0, "not-run": 1, "not-applicable": 2, "pass": 3}
    findings = sorted(report["findings"], key=lambda finding: order[finding["status"]])
    rows = table("Findings, worst first", "status", "check", "subject", "what was found")
    for finding in [finding for finding in findings if finding["status"] != "pass"][:SHOWN_FINDINGS]:
        numbers = f"; measured {finding['measured']}, allowed {finding['allowed']}"
        reason = finding["reason"] + (numbers if finding["status"] == "fail" else "")
        rows.add_row(finding["status"], f"{finding['gate']}: {finding['check']}", finding["subject"], reason)
    data.print(rows)
    passed = sum(1 for finding in findings if finding["status"] == "pass")
    data.print(f"{passed} of {len(findings)} findings passed; --json shows all of them")
