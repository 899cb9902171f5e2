import json
from typing import Any

import pytest

from hubbot.checks.structure.configuration import check_configuration
from hubbot.finishing import config_of
from tests.checkpoints_on_disk import CONVERTIBLE, Workshop, planned, row_of
from tests.reference.checkpoints import Case, case


def failing(source: dict[str, Any], artifact: dict[str, Any], *, is_own: bool = True) -> set[str]:
    findings = check_configuration(source, artifact, row_of(source), is_own=is_own)
    return {finding.subject.removeprefix("config.json, ") for finding in findings if finding.status == "fail"}


@pytest.mark.parametrize("made", CONVERTIBLE, ids=lambda made: made.name)
def test_the_config_that_is_written_makes_the_class_run_as_the_source(made: Case, workshop: Workshop) -> None:
    plan = planned(workshop.source(made.name), "fp32")
    artifact = json.loads(json.dumps(config_of(plan, plan.variants[0])))
    assert failing(made.config, artifact) == set()


@pytest.mark.parametrize("name", ["qwen3_moe/hub", "mixtral/hub"])
def test_a_hub_config_itself_is_fine_because_the_class_reads_it(name: str) -> None:
    assert failing(case(name).config, case(name).config) == set()


def test_a_new_dialect_left_as_it_is_gives_the_class_a_default_and_is_found() -> None:
    # mixtral's class has a default rope_theta of 1e6: it loads and computes something else.
    config = case("mixtral/orig").config
    assert failing(config, config) == {"rope_theta"}


def test_a_config_that_the_class_does_not_take_fails_as_a_whole() -> None:
    config = case("qwen3_moe/orig").config
    assert failing(config, config) == {"all fields"}


@pytest.mark.parametrize(("key", "value"), [("norm_topk_prob", 1), ("tie_word_embeddings", 0)])
def test_a_number_in_place_of_a_flag_is_another_value(key: str, value: int) -> None:
    config = case("qwen3_moe/hub").config
    assert failing(config, config | {key: value}) == {key}


@pytest.mark.parametrize(("is_own", "found"), [(True, {"hidden_act"}), (False, set())])
def test_what_the_class_does_not_read_is_left_alone_by_hubbot(is_own: bool, found: set[str]) -> None:
    config = case("qwen3_moe/hub").config
    assert failing(config, config | {"hidden_act": "gelu"}, is_own=is_own) == found
