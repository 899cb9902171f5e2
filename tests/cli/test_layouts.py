"""`hubbot layouts` prints what the catalogue holds, and the installed mlx-lm's coverage of it."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubbot.catalogue.experts.expert_layouts import ROWS, read_name
from hubbot.catalogue.families import BY_MODEL_TYPE, FAMILIES, RECOGNISED, Recognised
from hubbot.errors import AmbiguousLayout, NoRuntime
from hubbot.folders import Folder
from hubbot.steps.classify import classify
from hubbot.steps.inspect import inspect
from tests.checkpoints_on_disk import edit_json
from tests.cli.conftest import Shell
from tests.reference.checkpoints import case, write
from tests.reference.coverage import COVERAGE


@pytest.fixture
def record(hubbot: Shell) -> Any:
    return hubbot("layouts", "--json").json


def test_every_layout_has_an_example_that_the_catalogue_reads(record: Any) -> None:
    assert {row["key"] for row in record["layouts"]} == {row.key for row in ROWS}
    for row in record["layouts"]:
        assert read_name(row["example"]) is not None


def test_every_layout_is_that_of_some_model_type(record: Any) -> None:
    assert [row["key"] for row in record["layouts"] if not row["model_types"] and not row["recognised"]] in (
        [],
        ["stacked"],
    )


def test_every_convertible_type_names_the_class_that_mlx_lm_really_has(record: Any) -> None:
    convertible = [kind for kind in record["model_types"] if kind["state"] == "convertible"]
    assert {kind["model_type"] for kind in convertible} == {family.model_type for family in FAMILIES}
    for kind in convertible:
        assert set(kind["evidence"]) == set(kind["layouts"])
        if not kind["model_file"]:
            name = kind["runtime"].rpartition(": ")[2]
            assert hasattr(importlib.import_module(f"mlx_lm.models.{name}"), "Model")


def test_what_is_not_convertible_says_why(record: Any) -> None:
    others = [kind for kind in record["model_types"] if kind["state"] != "convertible"]
    assert {kind["state"] for kind in others} == {"recognised, no runtime", "refused"}
    assert all(kind["reason"] and kind["runtime"] is None for kind in others)


def test_no_model_type_stands_twice(record: Any) -> None:
    names = [kind["model_type"] for kind in record["model_types"]]
    assert len(names) == len(set(names))


def test_no_convertible_type_is_still_listed_as_merely_recognised() -> None:
    assert not {entry.model_type for entry in RECOGNISED} & {family.model_type for family in FAMILIES}


FORMS = {"per_expert": "hub", "stacked_fused": "v5"}


@pytest.mark.parametrize(
    "entry",
    [entry for entry in RECOGNISED if next(iter(entry.layouts), None) in FORMS],
    ids=lambda entry: str(entry.model_type),
)
def test_classify_says_of_a_recognised_type_what_the_table_says(
    record: Any, entry: Recognised, tmp_path: Path
) -> None:
    folder = write(case(f"qwen3_moe/{FORMS[next(iter(entry.layouts))]}"), tmp_path)
    edit_json(folder / "config.json", model_type=entry.model_type)
    state = next(kind["state"] for kind in record["model_types"] if kind["model_type"] == entry.model_type)
    expected = NoRuntime if state == "recognised, no runtime" else AmbiguousLayout
    with pytest.raises(expected) as caught:
        classify(inspect(Folder(folder)))
    assert caught.value.exit_code == 4


def test_every_packing_is_listed_with_an_example(record: Any) -> None:
    assert len(record["packings"]) >= 5
    assert all(set(row) == {"key", "method", "naming", "example", "source"} for row in record["packings"])


def test_people_read_it_as_tables(hubbot: Shell) -> None:
    told = hubbot("layouts")
    assert told.code == 0
    for word in ("Layouts", "Packings", "Model types", "recognised, no runtime", "refused"):
        assert word in told.out


def test_the_command_prints_the_tables_of_the_coverage(hubbot: Shell) -> None:
    assert hubbot("layouts", "--markdown").out.strip() in COVERAGE.read_text(encoding="utf-8")


def test_a_family_without_its_class_waits_for_a_runtime(monkeypatch: pytest.MonkeyPatch, hubbot: Shell) -> None:
    monkeypatch.setattr(
        "hubbot.catalogue.coverage.FAMILIES", (replace(BY_MODEL_TYPE["qwen3_moe"], runtime="not_there"),)
    )
    first = hubbot("layouts", "--json").json["model_types"][0]
    assert (first["state"], first["runtime"]) == ("recognised, no runtime", None)


def test_types_that_hubbot_does_not_know_are_printed_by_package(
    monkeypatch: pytest.MonkeyPatch, hubbot: Shell
) -> None:
    assert hubbot("layouts", "--missing").out.splitlines() == ["transformers: none", "mlx-lm: none"]
    named = tuple(row for row in RECOGNISED if row.model_type not in {"beam", "Klear"})
    monkeypatch.setattr("hubbot.catalogue.installed_types.RECOGNISED", named)
    assert hubbot("layouts", "--missing").out.splitlines() == ["transformers: beam", "mlx-lm: Klear"]
    assert hubbot("layouts", "--missing", "--json").json == {"transformers": ["beam"], "mlx-lm": ["Klear"]}
