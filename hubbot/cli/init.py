"""The command that writes a settings file: `hubbot init`."""

from pathlib import Path
from typing import Annotated

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, talk

_TEXT = """\
# Settings of hubbot. `hubbot doctor` checks them; every key can also be set as HUBBOT_<KEY> in the environment.

# The user or organisation of the Hub to publish under; the token (HF_TOKEN, `hf auth login`) must be able to write
# there. Without it nothing is published.
{org}

# What to make of every checkpoint: {known}.
variants = {variants}

# The names of published repos; {{name}} is the source's name, {{owner}} its owner, {{variant}} the variant.
# repo_name = "{{name}}-MLX-{{variant}}"

# Licences that any source may have; without this line all that are stated.
{licences}

# A source that states no licence waits for a person ("park"), or is published as of another licence ("other").
# without_licence = "park"

# Where the cards link to for hubbot itself; without this line nowhere.
# homepage = "https://example.org/hubbot"

# Minutes between two looks at the Hub.
# watch_minutes = 30

# What to watch. Each rule lists what its authors publish, searches, and asks for tags; all that is set must hold.
{watch}
"""
_EXAMPLE = """\
# [[watch]]
# name = "qwen"
# authors = ["Qwen"]
# search = ["A3B"]
# max_gigabytes = 200
# min_age_hours = 6
"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("init", rich_help_panel="Try it")(init_command)


def init_command(
    org: Annotated[str | None, typer.Option("--org", help="User or organisation to publish under.")] = None,
    variant: Annotated[
        list[str] | None, typer.Option("--variant", "-v", help="Variant to make; repeat for several.")
    ] = None,
    watch: Annotated[
        list[str] | None, typer.Option("--watch", help="Author on the Hub to watch; repeat for several.")
    ] = None,
    licence: Annotated[
        list[str] | None, typer.Option("--licence", help="Licence to accept; repeat for several. Default: any.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write. Default: where hubbot looks for it.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing; what is not given stays as by default.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a commented settings file; what no option says is asked.

    Example: hubbot init --org my-org --variant 4bit --watch Qwen --yes
    """
    from hubbot.catalogue.variants.named_variants import DEFAULT_VARIANTS
    from hubbot.errors import WrongUsage
    from hubbot.settings import settings_file

    file = (out or settings_file()).expanduser().resolve()
    if file.exists() and not force:
        raise WrongUsage("the file is there already", where=str(file), hint="--force replaces it")
    if not yes and not as_json:
        talk.print(f"This writes {file}; an empty answer takes what stands in brackets.", soft_wrap=True)
        org = org if org is not None else _asked("Publish under which user or organisation", "")
        variant = variant or _list(_asked("Which variants, with spaces between", " ".join(DEFAULT_VARIANTS)))
        watch = watch or _list(_asked("Watch which authors on the Hub, with spaces between", ""))
        licence = licence or _list(_asked("Accept which licences, with spaces between", "any", none="any"))
    text = render(org or "", tuple(variant or DEFAULT_VARIANTS), tuple(watch or ()), tuple(licence or ()))
    check(text)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"file": str(file)})
        return
    data.print(f"written: {file}", soft_wrap=True)
    talk.print("`hubbot doctor` checks it, `hubbot run` starts the bot")


def render(org: str, variants: tuple[str, ...], authors: tuple[str, ...], licences: tuple[str, ...]) -> str:
    """Return the settings file as text: what is given, and every other line as a comment."""
    import json

    from hubbot.catalogue.variants.named_variants import VARIANTS

    rules = "".join(
        f"[[watch]]\nname = {json.dumps(author)}\nauthors = [{json.dumps(author)}]\nmin_age_hours = 6\n\n"
        for author in authors
    )
    return _TEXT.format(
        org=f"org = {json.dumps(org)}" if org else '# org = "my-org"',
        known=", ".join(VARIANTS),
        variants=json.dumps(list(variants)),
        licences=f"licences = {json.dumps(list(licences))}" if licences else '# licences = ["apache-2.0", "mit"]',
        watch=rules or _EXAMPLE,
    )


def check(text: str) -> None:
    """Raise WrongUsage unless the text is valid settings."""
    import tomllib

    from pydantic import ValidationError

    from hubbot.errors import WrongUsage
    from hubbot.settings import Settings

    try:
        Settings.model_validate(tomllib.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise WrongUsage(f"setting {key}: {first['msg']}", hint="nothing was written") from error


def _asked(question: str, default: str, *, none: str = "") -> str:
    answer: str = typer.prompt(question, default=default, show_default=bool(default), err=True).strip()
    return "" if answer == none else answer


def _list(answer: str) -> list[str]:
    return answer.replace(",", " ").split()
