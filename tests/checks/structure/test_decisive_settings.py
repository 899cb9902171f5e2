import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hubbot.artifacts import Finding
from hubbot.catalogue import resolution, runtimes
from hubbot.catalogue.families import family_for
from hubbot.checks.decisive.respelled_settings import RULES, decisive
from hubbot.checks.decisive.source_settings import GROUPS, SourceSettings
from hubbot.checks.structure.configuration import effective_fields
from hubbot.checks.structure.decisive_settings import check_decisive_settings
from tests.checkpoints_on_disk import CONVERTIBLE, row_of
from tests.checks.stock import stock_convert, stock_source
from tests.reference.checkpoints import Case, case

# Fields of classes that compute nothing with them in this family: no source says anything of them.
UNTOLD: Mapping[str, set[str]] = {
    "hunyuan_v1_moe": {"cla_share_factor"},  # without cross-layer attention
    "nemotron_h": {"layer_types"},  # spelled out in hybrid_override_pattern
    "granitemoeshared": {"mamba_conv_bias", "mamba_proj_bias"},  # without a Mamba layer
    "kimi_linear": {"mla_use_nope"},  # the class attends without positions alone
    "cohere2_moe": {"prefix_dense_intermediate_size"},  # null, or without dense layers
    "dots1": {"scoring_func"},  # the class takes the sigmoid whatever it says
}


# Configs of published models, made small.
REAL = Path(__file__).parents[2] / "configs" / "data"


def judged(source: dict[str, Any], artifact: dict[str, Any]) -> list[Finding]:
    fields = effective_fields(artifact, row_of(source))
    return list(check_decisive_settings(source, fields))


def refused(source: dict[str, Any], artifact: dict[str, Any]) -> set[str]:
    return {
        finding.subject.removeprefix("config.json, ")
        for finding in judged(source, artifact)
        if finding.status == "fail"
    }


def resolved(config: dict[str, Any]) -> dict[str, Any]:
    family = row_of(config)
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None
    return dict(resolution.resolve(config, family, fields).config)


@pytest.mark.parametrize("made", CONVERTIBLE, ids=lambda made: made.name)
def test_what_is_resolved_for_a_reference_is_what_the_referee_derives_itself(made: Case) -> None:
    (finding,) = judged(made.config, resolved(made.config))
    assert finding.status == "pass"
    assert finding.measured >= 3


@pytest.mark.parametrize("made", CONVERTIBLE, ids=lambda made: made.name)
def test_no_decisive_field_of_a_class_is_left_unjudged(made: Case) -> None:
    source = SourceSettings(made.config)
    fields = effective_fields(resolved(made.config), row_of(made.config))
    left = {name for name in {*GROUPS, *RULES} & set(fields) if decisive(source, name) is None}
    assert left <= UNTOLD.get(made.model_type, set())


@pytest.mark.parametrize(
    "name", ["qwen3_moe/hub", "mixtral/hub", "glm4_moe/hub", "deepseek_v3/hub", "gpt_oss/hub"]
)
def test_a_config_that_mlx_lm_convert_takes_over_as_it_is_passes(name: str) -> None:
    assert refused(case(name).config, case(name).config) == set()


def test_an_artifact_of_mlx_lm_convert_passes(tmp_path: Path) -> None:
    source = stock_source(tmp_path)
    folder = stock_convert(source, mode="affine", bits=4, group_size=64)
    configs = [json.loads((path / "config.json").read_text()) for path in (source, folder)]
    assert refused(*configs) == set()


def test_a_finding_names_the_setting_what_was_found_and_expected_and_the_key() -> None:
    config = case("qwen3_moe/orig").config
    written = resolved(config) | {"rope_theta": 10000.0}
    (finding,) = [finding for finding in judged(config, written) if finding.status == "fail"]
    assert (finding.subject, finding.measured, finding.allowed) == ("config.json, rope base", 10000.0, 51234.0)
    assert "rope_parameters.rope_theta" in finding.reason


@pytest.mark.parametrize(
    "name", ["mixtral/window/hub", "qwen2_moe/renormalised/hub", "mellum/attention_factor/orig"]
)
def test_what_the_class_neither_reads_nor_computes_is_refused(name: str) -> None:
    config = case(name).config
    assert refused(config, resolved(config))


@pytest.mark.parametrize("key", ["rope_theta", "norm_topk_prob", "rms_norm_eps", "tie_word_embeddings"])
def test_a_key_that_is_left_out_is_what_transformers_takes_for_it(key: str) -> None:
    config = {name: value for name, value in case("qwen3_moe/hub").config.items() if name != key}
    assert refused(config, resolved(config)) == set()


@pytest.mark.parametrize("path", sorted(REAL.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_resolved_for_a_config_of_the_hub_is_what_the_referee_derives_itself(path: Path) -> None:
    held = json.loads(path.read_text(encoding="utf-8"))
    config = held.get("config", held)
    family = family_for(config, ())
    if family is None:
        pytest.skip("hubbot converts no model of this type")
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None
    found = resolution.resolve(config, family, fields)
    if found.problems:
        pytest.skip(f"refused before anything is made: {found.problems[0][:80]}")
    assert refused(config, dict(found.config)) == set()


def test_false_in_place_of_a_number_says_nothing() -> None:
    config = case("hunyuan/orig").config | {"routed_scaling_factor": False, "n_group": False}
    assert refused(config, resolved(config)) == set()


def test_a_window_that_cannot_act_is_no_window() -> None:
    config = case("mixtral/hub").config
    assert refused(config | {"sliding_window": 512}, resolved(config)) == set()
    assert refused(config | {"sliding_window": 511}, resolved(config)) == {"sliding_window"}


def test_the_reading_of_settings_imports_nothing_of_the_catalogue() -> None:
    folder = Path(__file__).parents[3] / "hubbot" / "checks" / "decisive"
    modules = list(folder.glob("*.py"))
    assert len(modules) > 3
    for path in modules:
        imported = [
            node.module or "" for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
        ]
        assert not [
            name for name in imported if name.startswith("hubbot.") and "hubbot.checks.decisive" not in name
        ]
