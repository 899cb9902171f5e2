"""Gate 1: every field that the runtime's class reads has the value that the plan gave it, after class defaults.

It finds a config that was written or edited otherwise than resolved, and surprising defaults of a class. Whether
the resolution itself is right is not asked here: decisive_settings.py derives what decides a second time.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hubbot.artifacts import Finding, Status
from hubbot.catalogue import resolution, runtimes
from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.nesting import decoder
from hubbot.catalogue.families import Family
from hubbot.catalogue.towers import VISION
from hubbot.checks.structure import finding
from hubbot.errors import HubbotError
from hubbot.runtime import loading

KINDS = ("type", "rope_type")
# Fields that are parts of the config themselves (mlx-lm, models/dbrx.py).
NESTED = ("attn_config", "ffn_config")
REJECTIONS = (HubbotError, TypeError, ValueError, KeyError, ArithmeticError)
# What every conversion may say in its own way; what it must say is judged elsewhere.
REWRITTEN = frozenset(
    {
        "quantization", "quantization_config", "dtype", "torch_dtype", "transformers_version", "model_type",
        "_name_or_path", "text_config", "vision_config", "bos_token_id", "eos_token_id", "pad_token_id",
    }
)  # fmt: skip


def check_configuration(
    source: Mapping[str, Any], artifact: Mapping[str, Any], family: Family, *, is_own: bool
) -> Iterator[Finding]:
    """Yield one finding per field that differs, or one pass for all of them.

    With `is_own` hubbot made the artifact, which leaves alone what the class does not read.
    """
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None, "the caller found the runtime"
    resolved = resolution.resolve(source, family, fields, sees=VISION in artifact)
    expected = {origin.field: origin for origin in resolved.origins}
    try:
        effective = effective_fields(artifact, family)
    except REJECTIONS as error:
        yield _of_field("all fields", str(error)[:200], "accepted", "fail", "mlx-lm does not take this config")
        return
    differing = 0
    for name, origin in expected.items():
        found = effective.get(name)
        wanted = loading.untagged(origin.value)
        if _equal(found, wanted) or _is_the_share(name, found, wanted, effective):
            continue
        if not _is_same_thing(name, found, wanted, source, artifact):
            differing += 1
            yield _of_field(
                name, found, origin.value, "fail",
                f"the model would run with another {name} than the source ({origin.origin})",
            )  # fmt: skip
    for name in _contradicted({**source, **family.writes}, artifact, set(expected)) if is_own else ():
        differing += 1
        yield _of_field(
            name, artifact[name], source.get(name), "fail",
            "not what the source says; mlx-lm does not read it, and other loaders do",
        )  # fmt: skip
    if not differing:
        reason = "every field the class reads has the source's value"
        yield _of_field("all fields", len(expected), len(expected), "pass", reason)


def _contradicted(source: Mapping[str, Any], artifact: Mapping[str, Any], read: set[str]) -> list[str]:
    """Return the artifact's keys that the source has with another value, and that no class field covers."""
    told = decoder(source)
    return sorted(
        key
        for key, value in artifact.items()
        if key not in read | REWRITTEN and key in source and value not in (source[key], told.get(key))
    )


def effective_fields(artifact: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Return the arguments of the class that computes the artifact, by name, after its own defaults.

    Raises one of REJECTIONS where the class does not take the config.
    """
    if family.text_args is None:
        return loading.effective_args(artifact)
    loading.effective_args(artifact)  # the outer class must take it too
    return loading.effective_text_args(artifact, family.text_args)


def _equal(found: Any, expected: Any) -> bool:
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, list | tuple) and isinstance(expected, list | tuple):
        return list(found) == list(expected)
    return bool(found == expected)


def _is_same_thing(
    name: str, found: Any, wanted: Any, source: Mapping[str, Any], artifact: Mapping[str, Any]
) -> bool:
    """Say whether another spelling means the same to mlx-lm."""
    if name == "model_type":
        return loading.module_name({"model_type": found}) == loading.module_name({"model_type": wanted})
    if name == "head_dim" and found is None:
        # Without it every class takes the quotient; where it is another, the stored shapes say so.
        heads = decoder(artifact).get("num_attention_heads")
        return bool(heads) and wanted == decoder(artifact).get("hidden_size", 0) // heads
    if name == "rope_scaling" and isinstance(found, dict) and isinstance(wanted, dict):
        # mlx-lm's rope_utils read the kind under either key; a class that reads it by itself may not.
        alone = any(loading.mentions(artifact, key) for key in KINDS)
        return (
            not alone and ropes.kind_of(found) == ropes.kind_of(wanted) and _but_kind(found) == _but_kind(wanted)
        )
    if isinstance(found, dict) and isinstance(wanted, dict) and name in NESTED:
        # A part of the config handed over whole; the class reads of it what we resolved.
        return all(found.get(key) == value for key, value in wanted.items())
    # Rope as the source has it: what a class reads out of it are fields of their own, and compared as such.
    return name == "rope_parameters" and found is not None and found == decoder(source).get(name)


def _is_the_share(name: str, found: Any, wanted: Any, effective: Mapping[str, Any]) -> bool:
    """Say whether a class that is not told how much of a head rotates works it out of the share (bailing_moe)."""
    share, width = effective.get("partial_rotary_factor"), effective.get("head_dim")
    if name != "rotary_dim" or found is not None or share is None:
        return False
    if width is None:
        width = effective["hidden_size"] // effective["num_attention_heads"]
    return bool(int(width * share) == wanted)


def _but_kind(scaling: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in scaling.items() if key not in KINDS}


def _of_field(field: str, measured: Any, allowed: Any, status: Status, reason: str) -> Finding:
    return finding("configuration", f"config.json, {field}", measured, allowed, status, reason)
