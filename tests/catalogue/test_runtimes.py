import dataclasses
import importlib
from importlib.metadata import version

import pytest

from hubbot.catalogue import runtimes

CLASSES = (
    "qwen3_moe", "mixtral", "qwen2_moe", "olmoe", "phimoe", "granitemoe", "glm4_moe", "dots1", "deepseek_v3",
    "gpt_oss", "qwen3_next", "lfm2_moe", "ernie4_5_moe", "jamba", "afmoe", "exaone_moe", "solar_open", "llama",
)  # fmt: skip
MISSING = dataclasses.MISSING


@pytest.mark.parametrize("name", CLASSES)
def test_names_order_and_required_are_those_of_the_imported_class(name: str) -> None:
    real = dataclasses.fields(importlib.import_module(f"mlx_lm.models.{name}").ModelArgs)
    read = runtimes.fields(name)
    assert read is not None
    assert [field.name for field in read] == [field.name for field in real]
    assert [field.required for field in read] == [
        field.default is MISSING and field.default_factory is MISSING for field in real
    ]


@pytest.mark.parametrize("name", CLASSES)
def test_literal_defaults_are_those_of_the_imported_class(name: str) -> None:
    real = dataclasses.fields(importlib.import_module(f"mlx_lm.models.{name}").ModelArgs)
    read = runtimes.fields(name)
    assert read is not None
    for ours, theirs in zip(read, real, strict=True):
        default = None if theirs.default is MISSING or theirs.default_factory is not MISSING else theirs.default
        assert ours.default == default, ours.name


@pytest.mark.parametrize(
    ("name", "unread"),
    [
        # Looked up by hand in mlx-lm 0.32.2: neither attention builds anything from rope_scaling.
        ("qwen3_moe", "rope_scaling"),
        ("qwen3_moe", "max_position_embeddings"),
        ("mixtral", "rope_scaling"),
    ],
)
def test_a_field_that_the_class_declares_and_never_reads_is_known_as_such(name: str, unread: str) -> None:
    fields = {field.name: field for field in runtimes.fields(name) or ()}
    assert not fields[unread].is_read
    assert fields["rope_theta"].is_read
    assert fields["num_experts_per_tok"].is_read


@pytest.mark.parametrize("name", ["hunyuan_v1_moe", "no_such_model", "../utils", "a.b", "", "base"])
def test_there_are_no_fields_where_there_is_no_model_class(name: str) -> None:
    assert runtimes.fields(name) is None


def test_the_version_is_the_installed_one() -> None:
    assert runtimes.version() == version("mlx-lm")
