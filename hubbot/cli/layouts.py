"""The command that prints the catalogue: `hubbot layouts`."""

from typing import Any

import typer

from hubbot.cli.options import Json
from hubbot.cli.output import data, print_json, table


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("layouts", rich_help_panel="Checkpoints")(layouts_command)


def layouts_command(as_json: Json = False) -> None:
    """Print the catalogue: how experts are stored, which model types are proven for it, what mlx-lm computes.

    Example: hubbot layouts
    """
    record = catalogue()
    if as_json:
        print_json(record)
        return
    made = table("Layouts", "key", "naming", "stacking", "example", "model types")
    for row in record["layouts"]:
        made.add_row(row["key"], row["naming"], row["stacking"], row["example"], ", ".join(row["model_types"]))
    data.print(made)
    made = table("Model types", "model type", "computed by", "layouts", "limits")
    for family in record["model_types"]:
        runtime = family["runtime"] or "no class in the installed mlx-lm"
        made.add_row(family["model_type"], runtime, " ".join(family["layouts"]), "; ".join(family["limits"]))
    data.print(made)
    data.print("Any other model type, layout or packing is refused by name, with the reason.")


def catalogue() -> dict[str, Any]:
    """Return the catalogue as plain data; runtime coverage is that of the installed mlx-lm."""
    from hubbot.catalogue import runtimes
    from hubbot.catalogue.families import FAMILIES
    from hubbot.catalogue.layouts import ROWS

    return {
        "layouts": [
            {
                "key": row.key,
                "naming": row.naming,
                "stacking": row.stacking,
                "example": row.example,
                "source": row.source,
                "model_types": [family.model_type for family in FAMILIES if row.key in family.layouts],
            }
            for row in ROWS
        ],
        "model_types": [
            {
                "model_type": family.model_type,
                "runtime": f"mlx-lm {runtimes.version()}: {family.runtime}"
                + (f" with hubbot's {family.model_file}" if family.model_file else "")
                if runtimes.fields(family.runtime, family.model_file)
                else None,
                "layouts": list(family.layouts),
                "limits": [f"{field}: {limit.reason}" for field, limit in family.limits.items()],
                "evidence": {key: provenance.source for key, provenance in family.layouts.items()},
            }
            for family in FAMILIES
        ],
    }
