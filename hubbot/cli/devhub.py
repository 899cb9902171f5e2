"""The command that serves a local Hub: `hubbot devhub`."""

from pathlib import Path
from typing import Annotated

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, talk


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("devhub", rich_help_panel="Try it")(devhub_command)


def devhub_command(
    folder: Annotated[Path, typer.Option("--dir", help="Where the Hub keeps its repos; made if missing.")],
    port: Annotated[int, typer.Option("--port", help="Port on the loopback; 0 takes a free one.")] = 0,
    as_json: Json = False,
) -> None:
    """Serve a Hub on this machine until Ctrl-C: pages for people, the wire protocol for the real client.

    Example: hubbot devhub --dir ./demo/hub --port 7860
    """
    from hubbot.cli.interrupts import stopping
    from hubbot.demo import TOKEN, accounts
    from hubbot.devhub.server import EmbeddedHub
    from hubbot.errors import WrongUsage

    home = folder.expanduser().resolve()
    try:
        with stopping() as stop, EmbeddedHub(home, accounts=accounts(), port=port) as hub:
            environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}
            if as_json:
                print_json({"url": hub.url, "dir": str(home), "environment": environment})
            else:
                data.print(f"Hub at {hub.url}, repos in {home}", soft_wrap=True)
                for name, value in environment.items():
                    data.print(f"  export {name}={value}")
            talk.print("until Ctrl-C")
            stop.wait()
    except OSError as error:
        raise WrongUsage(f"port {port} cannot be served: {error}", hint="choose another --port") from error
