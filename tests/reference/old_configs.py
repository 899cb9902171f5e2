"""Configs as transformers 4 wrote them, checked by letting transformers 5 read them back.

It builds no model; make.py hands in the one whose config is rewritten.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.reference.rows import Family


def hub_dialect(network: Any, family: Family, config: dict[str, Any]) -> dict[str, Any]:
    """The same config as transformers 4 wrote it; transformers 5 must read it back as the same values."""
    inner = config.get("text_config")
    old = {**config, "text_config": old_text(inner, family)} if inner else old_text(config, family)
    old.pop("dtype", None)
    old |= {"transformers_version": "4.51.3", "torch_dtype": config["dtype"]}
    reread = reread_config(network, old)
    # transformers 5 keeps the old key `type` beside `rope_type`.
    for part in (reread, reread.get("text_config", {})):
        part.get("rope_parameters", {}).pop("type", None)
    allowed = {"transformers_version", *family.unread} | (family.added.keys() - config.keys())
    differing = set(differences(reread, config, allowed))
    if differing:
        raise SystemExit(f"{family.model_type}: transformers reads {sorted(differing)} differently: {reread}")
    return old


def old_text(config: dict[str, Any], family: Family) -> dict[str, Any]:
    """The text decoder's values under their old keys."""
    old = {family.renamed.get(key, key): value for key, value in config.items() if key not in family.dropped}
    if "rope_parameters" in old and not family.keeps_rope_parameters:
        old |= old_rope(dict(old.pop("rope_parameters")), family)
    return old | {**family.added, **family.replaced}


def differences(read: dict[str, Any], config: dict[str, Any], allowed: set[str]) -> Iterator[str]:
    """The keys under which two configs, or their text_configs, say different things."""
    for key in (read.keys() | config.keys()) - allowed:
        if key == "text_config":
            yield from differences(read[key], config[key], allowed | (read[key].keys() - config[key].keys()))
        elif read.get(key) != config.get(key):
            yield key


def reread_config(network: Any, config: dict[str, Any]) -> dict[str, Any]:
    """What transformers makes of a config.json, as it would write it again."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        read = type(network.config).from_pretrained(folder)
    return dict(json.loads(read.to_json_string(use_diff=True)))


def old_rope(rope: dict[str, Any], family: Family) -> dict[str, Any]:
    """The three keys that transformers 4 had for rope_parameters."""
    kind = rope.pop("rope_type")
    old: dict[str, Any] = {"rope_theta": rope.pop("rope_theta")}
    if "partial_rotary_factor" in rope:
        old["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    return old | {"rope_scaling": None if kind == "default" and not rope else {family.rope_kind: kind, **rope}}
