import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from hubbot.catalogue.configs.spellings import SYNONYMS
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.catalogue.families.omitted import OMITTED

SAME_CLASS = {"kimi_k2": "deepseek_v3"}


@pytest.mark.parametrize("model_type", OMITTED)
def test_what_a_config_leaves_out_is_what_transformers_takes_for_it(model_type: str) -> None:
    known = CONFIG_MAPPING[SAME_CLASS.get(model_type, model_type)]
    known = known.sub_configs.get("text_config", known)
    for field, value in OMITTED[model_type].items():
        keys = [known.attribute_map.get(key, key) for key in SYNONYMS.get(field, (field,))]
        assert value in [getattr(known, key, None) for key in keys]


def test_only_families_of_the_catalogue_have_defaults() -> None:
    assert set(OMITTED) <= set(BY_MODEL_TYPE)


def test_the_tables_are_compared_with_the_transformers_that_the_extras_pin() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    for extra in ("test", "references"):
        assert f"transformers=={version('transformers')}" in extras[extra]
