"""The referee's defaults file, from transformers' config classes: what they take for keys a config leaves out.

`python -m tests.refresh` writes it. It needs transformers in the version that the extras pin, and no torch.
"""

import json
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from transformers import AutoConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from hubbot.catalogue.families import BY_MODEL_TYPE, Family
from hubbot.checks import decisive
from hubbot.checks.decisive.source_settings import DEFAULTS, GROUPS, NULL_IS_A_VALUE, OUTER

PATH = Path(str(files(decisive) / DEFAULTS))


def defaults_of(model_type: str) -> dict[str, Any] | None:
    """The decisive keys' defaults in the config class of a model type, or None where transformers has none."""
    family = BY_MODEL_TYPE[model_type]
    name = family.transformers_type or model_type
    if name not in CONFIG_MAPPING:
        return None
    outer, text = CONFIG_MAPPING[name], text_class(family)
    made = {
        key: value
        for key in sorted(GROUPS)
        if key not in text.attribute_map
        and _is_plain(value := getattr(outer if key in OUTER else text, key, None))
        and (value is not None or (key in NULL_IS_A_VALUE and hasattr(text, key)))
    }
    rope = getattr(text(), "rope_parameters", None)
    return {**made, **({"rope_parameters": rope} if rope else {})}


def text_class(family: Family) -> Any:
    """The config class of a model type's text decoder: its own, or that of the text_config inside it."""
    outer = CONFIG_MAPPING[family.transformers_type or family.model_type]
    inner = outer.sub_configs.get("text_config", outer)
    # A wrapper around any decoder: the row says which.
    return CONFIG_MAPPING[family.text_type] if inner is AutoConfig else inner


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | list | dict)


def render() -> str:
    """The whole file: the version of transformers and the defaults by model type."""
    lines = [
        f"  {json.dumps(kind)}: {json.dumps(found, sort_keys=True)}"
        for kind in sorted(BY_MODEL_TYPE)
        if (found := defaults_of(kind)) is not None
    ]
    head = f'{{\n "transformers": {json.dumps(version("transformers"))},\n "defaults": {{\n'
    return head + ",\n".join(lines) + "\n }\n}\n"
