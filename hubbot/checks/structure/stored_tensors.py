"""Gate 1 on tensors: the index, names, shapes and bits that config.json describes; never the numbers inside."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hubbot.artifacts import Finding
from hubbot.catalogue.variants.roles import role_of
from hubbot.checks.readers.artifact_parameters import StoredParameter, StoredParameters
from hubbot.checks.structure import finding
from hubbot.finishing import INDEX

ROUTER_BITS = 8


def check_index(folder: Path, stored: StoredParameters) -> Iterator[Finding]:
    """Yield a finding on the bijection between the index and the shards' headers."""
    in_shards = {name: tensor.shard for name, tensor in stored.files.tensors.items()}
    doubled = stored.files.doubled
    yield finding.decided(
        "tensor in one shard", doubled[0] if doubled else "all tensors", len(doubled), 0, ok=not doubled,
        reason="stands in two shards" if doubled else f"{len(in_shards)} tensors",
    )  # fmt: skip
    index = _index(folder)
    if index is None:
        one = len(set(in_shards.values())) == 1
        yield finding.decided(
            "index", INDEX, "none", "needed for several shards", ok=one, reason="one shard needs none"
        )
        return
    differ = sorted(name for name in {*in_shards, *index} if in_shards.get(name) != index.get(name))
    yield finding.decided(
        "index", differ[0] if differ else INDEX, len(differ), 0, ok=not differ,
        reason="index and headers disagree" if differ else "index and headers name the same tensors",
    )  # fmt: skip
    total, held = _total(folder), sum(tensor.nbytes for tensor in stored.files.tensors.values())
    if total is not None and total != held:
        yield finding.decided(
            "index", f"{INDEX}, total_size", total, held, ok=False, reason="not the bytes of the tensors"
        )  # fmt: skip


def _total(folder: Path) -> int | None:
    try:
        total = json.loads((folder / INDEX).read_text(encoding="utf-8"))["metadata"]["total_size"]
    except (ValueError, KeyError, TypeError):
        return None
    return total if isinstance(total, int) else None


def check_tensors(
    stored: StoredParameters, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]
) -> Iterator[Finding]:
    """Yield findings on every parameter: there, of the right shape, encoded as config.json says."""
    missing = [name for name in shapes if name not in stored.by_name]
    yield finding.decided(
        "parameters present", missing[0] if missing else "all parameters", len(missing), 0, ok=not missing,
        reason="the model needs it and the artifact does not hold it" if missing else f"{len(shapes)} parameters",
    )  # fmt: skip
    extra = stored.unclaimed
    yield finding.decided(
        "no other tensors", extra[0] if extra else "all tensors", len(extra), 0, ok=not extra,
        reason="the model has no such parameter" if extra else "none",
    )  # fmt: skip
    wrong = [p for p in stored.by_name.values() if p.shape != shapes[p.name]]
    yield finding.decided(
        "shapes", wrong[0].name if wrong else "all parameters", list(wrong[0].shape) if wrong else 0,
        list(shapes[wrong[0].name]) if wrong else 0, ok=not wrong,
        reason="the stored shape is not the model's" if wrong else "as in the model that config.json describes",
    )  # fmt: skip
    block = config.get("quantization") or {}
    yield from _check_bits(stored, block if isinstance(block, dict) else {}, config.get("quantization_config"))
    yield from _check_routers(stored)


_TWIN = "the Hub shows this block, mlx-lm reads `quantization`, and the two disagree"


def _check_bits(stored: StoredParameters, block: Mapping[str, Any], twin: Any) -> Iterator[Finding]:
    default = {key: block.get(key) for key in ("mode", "bits", "group_size")}
    wrong: list[tuple[StoredParameter, Any]] = []
    for parameter in stored.by_name.values():
        said = block.get(parameter.module, default if parameter.mode != "none" else None)
        proven = {"mode": parameter.mode, "bits": parameter.bits, "group_size": parameter.group_size}
        told = {"mode": "affine", **said} if isinstance(said, dict) else {}
        if bool(said) if parameter.mode == "none" else any(told.get(k) != v for k, v in proven.items()):
            wrong.append((parameter, said))
    first, said = wrong[0] if wrong else (None, None)
    if twin is not None and twin != block:
        yield finding.decided("bits", "config.json, quantization_config", twin, block, ok=False, reason=_TWIN)
    yield finding.decided(
        "bits", first.name if first else "all parameters",
        f"{first.mode} {first.bits} bits, groups of {first.group_size}" if first else 0, said or 0, ok=not wrong,
        reason="config.json says other bits than the tensors' shapes prove" if first
        else "config.json says what the tensors' shapes prove",
    )  # fmt: skip


def _check_routers(stored: StoredParameters) -> Iterator[Finding]:
    routers = [p for p in stored.by_name.values() if role_of(p.name) in {"router", "shared_expert_gate"}]
    low = [p for p in routers if p.mode != "none" and p.bits < ROUTER_BITS]
    yield finding.decided(
        "router bits", low[0].name if low else f"{len(routers)} routers", low[0].bits if low else ROUTER_BITS,
        f">= {ROUTER_BITS}", ok=not low,
        reason="a router at few bits chooses other experts" if low else "no router is below the limit",
    )  # fmt: skip


def _index(folder: Path) -> dict[str, str] | None:
    path = folder / INDEX
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {str(name): str(shard) for name, shard in found.items()} if isinstance(found, dict) else {}
