"""The real configs of the Hub, made small: converted right and loading, or refused for what really acts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoConfig

from hubbot.catalogue import resolution, runtimes
from hubbot.catalogue.configs.source_readers import readers
from hubbot.catalogue.families import BY_MODEL_TYPE, family_for
from hubbot.checks.twins.shrinking import shrink
from hubbot.errors import ConfigUnresolved, HubbotError, NeedsHuman, NotForUs
from hubbot.folders import Folder
from hubbot.runtime import loading
from hubbot.steps.classify import classify
from hubbot.steps.inspect import inspect
from tests.checkpoints_on_disk import converted, judged, look, stock_model
from tests.configs.siblings import SIBLINGS, Sibling
from tests.configs.twins import Twin, twins, write

ALL = twins()
# The referee derives what decides a model a second time: those whose dialect asks most of it.
JUDGED = {
    *(twin.name for twin in ALL if twin.name.startswith("own__")),
    "nvidia__minimax-m3-nvfp4",
    "xiaomimimo__mimo-v2-flash",
    "nvidia__nvidia-nemotron-3-nano-30b-a3b-bf16",
    "meituan-longcat__longcat-flash-chat",
    "inclusionai__ling-3.0-tiny",
}
every_twin = pytest.mark.parametrize("twin", ALL, ids=lambda twin: twin.name)


def of(expected: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "twin", [twin for twin in ALL if twin.expected == expected], ids=lambda twin: twin.name
    )


@of("convert")
def test_a_real_config_is_converted_to_what_transformers_computes_from_it(twin: Twin, tmp_path: Path) -> None:
    if twin.logits is None:  # transformers has no class of this type: hubbot's verdict on the config is the test
        assert problems(twin.config) == ()
        return
    source = look(write(twin, tmp_path / "source"))
    folder = converted(source, tmp_path / "out", "fp32")["fp32"]
    config = json.loads((folder / "config.json").read_text())
    if readers(str(config["model_type"])) is not None:
        AutoConfig.from_pretrained(folder, trust_remote_code=False)
    answer = loading.logits(stock_model(folder), np.array(twin.ids))
    assert np.abs(answer - twin.logits).max() / np.abs(twin.logits).max() < twin.tolerance
    if twin.name in JUDGED:
        report = judged(source, folder)
        assert [found for found in report.findings if found.status == "fail"] == []
        assert report.verdict == "approved"


@of("refuse")
def test_a_config_that_acts_by_what_no_class_computes_is_refused_by_name(twin: Twin, tmp_path: Path) -> None:
    assert twin.told
    checkpoint = inspect(Folder(write(twin, tmp_path)))
    with pytest.raises(ConfigUnresolved) as refused:
        classify(checkpoint)
    for words in twin.told:
        assert words in refused.value.message


@of("no row")
def test_a_type_without_a_row_is_refused_by_its_name(twin: Twin, tmp_path: Path) -> None:
    if twin.config.get("model_type") in BY_MODEL_TYPE:
        pytest.skip(f"a row has come: run python -m tests.configs.add for {twin.repo}")
    checkpoint = inspect(Folder(write(twin, tmp_path)))
    with pytest.raises(HubbotError) as refused:
        classify(checkpoint)
    assert isinstance(refused.value, NeedsHuman | NotForUs)


@every_twin
def test_every_config_cites_where_it_was_found(twin: Twin) -> None:
    assert twin.repo
    assert twin.source
    assert twin.certainty
    assert (twin.logits is None) == (twin.record is None)


@pytest.mark.parametrize("sibling", SIBLINGS, ids=lambda sibling: sibling.name)
def test_a_sibling_is_committed_with_the_verdict_that_it_was_invented_for(sibling: Sibling) -> None:
    (twin,) = [twin for twin in ALL if twin.name == f"own__{sibling.name}"]
    assert twin.expected == sibling.expected
    if twin.expected == "refuse":
        assert all(any(key in words for key in sibling.changes) for words in twin.told)


@of("convert")
def test_the_shrunken_model_of_a_real_config_says_nothing_that_acts(twin: Twin) -> None:
    assert problems(shrink(twin.config, ())) == ()


def problems(config: Mapping[str, Any]) -> tuple[str, ...]:
    family = family_for(config, ())
    assert family is not None
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None
    return resolution.resolve(config, family, fields).problems
