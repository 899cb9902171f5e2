"""What the Hub shows about a model: tags, task, library, base models, parameters, all from its files.

Derived from README.md, config.json and safetensors headers, so that no repo can disagree with its content.
Never knows settings such as privacy: see descriptions.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubbot.devhub.blobs import Blobs
from hubbot.devhub.cards import Card, read_card
from hubbot.devhub.parameter_counts import count_parameters
from hubbot.devhub.stored_objects import Entry

_CONFIG_KEYS = ("architectures", "model_type", "quantization_config", "auto_map")
_READ_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What can be said about a model from the files of one commit."""

    card: Card = field(default_factory=Card)
    config: dict[str, Any] | None = None
    library_name: str | None = None
    pipeline_tag: str | None = None
    tags: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()
    base_relation: str | None = None
    parameters: dict[str, int] | None = None


def derive_metadata(tree: Mapping[str, Entry], blobs: Blobs) -> Metadata:
    """Read the small files and the headers of a tree."""
    card = read_card(_text(tree, blobs, "README.md"))
    config = _config(_text(tree, blobs, "config.json"))
    weights = sorted(path for path in tree if path.endswith(".safetensors") and "/" not in path)
    base_models = tuple(_strings(card.data.get("base_model")))
    relation = card.data.get("base_model_relation")
    found = Metadata(
        card=card,
        config=config,
        library_name=_library(card, config),
        pipeline_tag=_task(card, config),
        base_models=base_models,
        base_relation=relation if isinstance(relation, str) else None,
        parameters=count_parameters(blobs.path_of(tree[path]) for path in weights),
    )
    return Metadata(**{**_fields(found), "tags": tuple(_tags(found, has_weights=bool(weights)))})


def _text(tree: Mapping[str, Entry], blobs: Blobs, path: str) -> str:
    entry = tree.get(path)
    if entry is None or entry.size > _READ_LIMIT:
        return ""
    return blobs.path_of(entry).read_text(encoding="utf-8", errors="replace")


def _config(text: str) -> dict[str, Any] | None:
    try:
        # NaN is no JSON, and cannot be sent on.
        value = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return {key: value[key] for key in _CONFIG_KEYS if key in value}


def _library(card: Card, config: dict[str, Any] | None) -> str | None:
    named = card.data.get("library_name")
    if isinstance(named, str):
        return named
    return "transformers" if config and "model_type" in config else None


def _task(card: Card, config: dict[str, Any] | None) -> str | None:
    named = card.data.get("pipeline_tag")
    if isinstance(named, str):
        return named
    architectures = _strings((config or {}).get("architectures"))
    return "text-generation" if any(name.endswith("ForCausalLM") for name in architectures) else None


def _tags(found: Metadata, *, has_weights: bool) -> Iterable[str]:
    data = found.card.data
    tags: list[str | None] = [found.library_name, "safetensors" if has_weights else None]
    tags += _strings((found.config or {}).get("model_type"))
    tags += [*_strings(data.get("tags")), found.pipeline_tag, *_strings(data.get("language"))]
    tags += [f"dataset:{name}" for name in _strings(data.get("datasets"))]
    for model in found.base_models:
        tags.append(f"base_model:{model}")
        if found.base_relation is not None:
            tags.append(f"base_model:{found.base_relation}:{model}")
    tags += [f"license:{name}" for name in _strings(data.get("license"))]
    return dict.fromkeys(tag for tag in tags if tag)


def _strings(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str)]


def _fields(found: Metadata) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}
