"""The command that lets an artifact speak: `hubbot smoke`."""

import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer

from hubbot.cli.bars import bar
from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, styled, talk
from hubbot.files.sizes import readable


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("smoke", rich_help_panel="Checkpoints")(smoke_command)


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
    call = child.caller(chosen, threading.Event())
    with tempfile.TemporaryDirectory(prefix="hubbot-") as staging, bar("smoke") as progress:
        folder = artifact_folder(artifact, Path(staging) / "artifact", progress)
        record = call("smoke", chosen.smoke_request(folder), progress)
    if as_json:
        print_json(record)
        return
    for sample in record["samples"]:
        data.print(styled("bold", f"> {sample['prompt']}"))
        data.print(sample["text"].strip(), lines=True)
        how = f"sampled at {sample['temperature']}" if sample["temperature"] else "greedy"
        speed = (
            f"{how}: first of {sample['tokens']} tokens after {sample['first_token_seconds']} s, prompt "
            f"{sample['prompt_tokens_per_second']} tokens/s, then {sample['tokens_per_second']} tokens/s"
        )
        data.print(styled("dim", speed), "\n", lines=True)
    if record["picture"]:
        shown = record["picture"]
        data.print(styled("bold", f"> (a picture, red and blue) {shown['question']}"))
        data.print(shown.get("answer", "").strip() or f"no answer: {shown.get('not_run') or shown.get('fault')}")
    for warning in record["warnings"]:
        talk.print(styled("yellow", "warning:"), warning)
    data.print(styled("green", "it speaks;"), f"peak memory {readable(record['peak_memory_bytes'])}")
