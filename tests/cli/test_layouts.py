"""`hubbot layouts` prints what the catalogue holds, and the installed mlx-lm's coverage of it."""

import importlib

from tests.cli.conftest import Shell


def test_every_layout_has_an_example_that_its_row_reads(hubbot: Shell) -> None:
    record = hubbot("layouts", "--json").json
    assert {row["key"] for row in record["layouts"]} == {"A", "B", "E", "G", "M"}
    for row in record["layouts"]:
        assert row["example"].startswith("model.layers.3.")
        assert row["model_types"]


def test_every_model_type_names_the_class_that_mlx_lm_really_has(hubbot: Shell) -> None:
    for family in hubbot("layouts", "--json").json["model_types"]:
        name = family["runtime"].rpartition(": ")[2]
        assert hasattr(importlib.import_module(f"mlx_lm.models.{name}"), "Model")
        assert set(family["evidence"]) == set(family["layouts"])


def test_people_read_it_as_two_tables(hubbot: Shell) -> None:
    told = hubbot("layouts")
    assert told.code == 0
    assert "Layouts" in told.out
    assert "Model types" in told.out
