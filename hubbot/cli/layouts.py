"""The command that prints the catalogue: `hubbot layouts`."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, table


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("layouts", rich_help_panel="Checkpoints")(layouts_command)


def layouts_command(
    as_json: Json = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the tables as tests/reference/COVERAGE.md shows them.")
    ] = False,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing",
            help="Print the MoE model types that the installed transformers and mlx-lm know and hubbot does not.",
        ),
    ] = False,
) -> None:
    """Print the catalogue: how experts are stored and packed, and what the installed mlx-lm computes of it.

    A model type is convertible, recognised without a runtime, or refused with the reason.

    Example: hubbot layouts
    """
    from hubbot.catalogue.coverage import coverage

    if missing:
        _print_missing(as_json=as_json)
        return
    record = coverage()
    if as_json:
        print_json(record)
        return
    if markdown:
        data.print(as_markdown(record), lines=True)
        return
    for title, columns, rows in _tables(record):
        listing = table(title, *columns)
        for row in rows:
            listing.add_row(*row)
        data.print(listing)
    data.print("Any other model type, layout or packing is refused by name, with the reason.")


def _print_missing(*, as_json: bool) -> None:
    from hubbot.catalogue import installed_types

    found = installed_types.missing()
    if as_json:
        print_json({package: list(types) for package, types in found.items()})
        return
    for package, types in found.items():
        data.print(f"{package}: {', '.join(types) or 'none'}")


def as_markdown(record: Mapping[str, Any]) -> str:
    """Return the tables of tests/reference/COVERAGE.md, each under its heading."""
    return "\n\n".join(
        f"## {title}\n\n{_markdown_table(columns, rows)}" for title, columns, rows in _markdown_tables(record)
    )


Table = tuple[str, Sequence[str], list[Sequence[str]]]


def _tables(record: Mapping[str, Any]) -> Iterator[Table]:
    yield (
        "Layouts",
        ("key", "naming", "stacking", "example", "model types"),
        [
            (
                row["key"],
                row["naming"],
                row["stacking"],
                row["example"],
                _several(row["model_types"], row["recognised"]),
            )
            for row in record["layouts"]
        ],
    )
    yield (
        "Packings",
        ("key", "declared as", "what stands on disk", "example"),
        [(row["key"], row["method"], row["naming"], row["example"]) for row in record["packings"]],
    )
    yield (
        "Model types",
        ("model type", "state", "computed by", "layouts", "limits"),
        [
            (kind["model_type"], kind["state"], kind["runtime"] or "", " ".join(kind["layouts"]), _limits(kind))
            for kind in record["model_types"]
        ],
    )


def _markdown_tables(record: Mapping[str, Any]) -> Iterator[Table]:
    from hubbot.catalogue.coverage import CONVERTIBLE

    yield (
        "Expert layouts",
        ("layout", "how experts are stored", "for example"),
        [(row["key"], row["naming"], f"`{row['example']}`") for row in record["layouts"]],
    )
    yield (
        "Packings",
        ("packing", "what stands on disk"),
        [(f"`{row['key']}`", row["naming"]) for row in record["packings"]],
    )
    yield (
        "Model types",
        ("model type", "layouts", "remarks"),
        [
            (f"`{kind['model_type']}`", " ".join(kind["layouts"]), _limits(kind))
            for kind in record["model_types"]
            if kind["state"] == CONVERTIBLE
        ],
    )
    waiting: dict[str, list[str]] = defaultdict(list)
    for kind in record["model_types"]:
        if kind["state"] != CONVERTIBLE:
            waiting[kind["state"]].append(f"`{kind['model_type']}`")
    yield (
        "Model types that are known and not converted",
        ("why", "model types"),
        [(state, ", ".join(kinds)) for state, kinds in waiting.items()],
    )


def _several(convertible: Sequence[str], recognised: Sequence[str]) -> str:
    return ", ".join([*convertible, *(f"({name})" for name in recognised)])


def _limits(kind: Mapping[str, Any]) -> str:
    return "; ".join([*kind["limits"], *([kind["reason"]] if kind["reason"] else [])])


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
