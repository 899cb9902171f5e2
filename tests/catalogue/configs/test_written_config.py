"""AutoConfig of the installed transformers accepts the written config.json; null is where a class needs it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from hubbot.catalogue import runtimes
from hubbot.catalogue.configs.source_readers import readers
from tests.catalogue.configs.resolving import resolve
from tests.checkpoints_on_disk import CONVERTIBLE, row_of
from tests.reference.checkpoints import Case

every_case = pytest.mark.parametrize("made", CONVERTIBLE, ids=lambda made: made.name)


@every_case
def test_autoconfig_of_the_installed_transformers_accepts_the_written_config(made: Case, tmp_path: Path) -> None:
    written = resolve(made.config).config
    if readers(str(written["model_type"])) is None:
        pytest.skip(f"transformers has no class for {written['model_type']}")
    (tmp_path / "config.json").write_text(json.dumps(written))
    config = AutoConfig.from_pretrained(tmp_path, trust_remote_code=False)
    assert config.model_type == written["model_type"]
    assert config.get_text_config().vocab_size == written.get("text_config", written)["vocab_size"]


@every_case
def test_null_is_written_only_where_the_class_takes_something_else_for_a_missing_key(
    made: Case,
) -> None:
    family = row_of(made.config)
    inner = runtimes.fields(family.text_args) if family.text_args else None
    fields = {field.name: field for field in inner or runtimes.fields(family.runtime, family.model_file) or ()}
    for name in nulls(resolve(made.config).config):
        assert not fields[name].is_null_anyway


def nulls(written: Mapping[str, Any]) -> Iterator[str]:
    for key, value in written.items():
        if value is None:
            yield key
        elif isinstance(value, dict) and key == "text_config":
            yield from nulls(value)


def test_nemotrons_layers_are_spelled_once() -> None:
    made = next(made for made in CONVERTIBLE if made.name == "nemotron_h/hub")
    written = resolve(made.config).config
    assert "hybrid_override_pattern" in written
    assert not {"layer_types", "layers_block_type"} & set(written)
