"""How compressed-tensors' config says weights were quantized: config_groups -> schemes, what is not read refused.

The targets of a group are regular expressions of the checkpoint's author and are never run: which group a tensor
belongs to, its own dtype and shapes must tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.catalogue.packings.rule import refused
from hubbot.checkpoints import Checkpoint

FORMATS = frozenset(
    {
        "pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "nvfp4-pack-quantized",
        "mxfp4-pack-quantized", "mxfp8-quantized", "mixed-precision",
    }
)  # fmt: skip
STRATEGIES = frozenset({"tensor", "channel", "group", "tensor_group", "block"})
_GROUPED = frozenset({"group", "tensor_group"})
HINT = f"formats that are read: {', '.join(sorted(FORMATS))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """The weights' part of one config group; `block` is [rows, columns] that share a scale, `group` columns."""

    bits: int
    is_float: bool
    symmetric: bool
    strategy: str
    group: int
    block: object


def schemes(checkpoint: Checkpoint, config: Mapping[str, Any]) -> tuple[Scheme, ...]:
    """Return the schemes of a compressed-tensors config; UnknownPacking names what is not read."""
    _check(checkpoint, config)
    groups = config.get("config_groups")
    if not isinstance(groups, Mapping) or not all(isinstance(group, Mapping) for group in groups.values()):
        raise refused(checkpoint, "compressed-tensors without config_groups says nothing about its weights")
    for group in groups.values():
        _check_format(checkpoint, group.get("format"))
    found = [
        _scheme(checkpoint, group["weights"]) for group in groups.values() if group.get("weights") is not None
    ]
    return tuple(dict.fromkeys(found))


def _check(checkpoint: Checkpoint, config: Mapping[str, Any]) -> None:
    _check_format(checkpoint, config.get("format"))
    sparsity = config.get("sparsity_config")
    if isinstance(sparsity, Mapping) and sparsity.get("format", "dense") != "dense":
        raise refused(checkpoint, f"the weights are sparse: sparsity_config says {sparsity.get('format')!r}")
    transforms = config.get("transform_config")
    if isinstance(transforms, Mapping) and transforms.get("config_groups"):
        raise refused(checkpoint, "the weights are rotated: transform_config names transforms")
    status = config.get("quantization_status", "compressed")
    if status != "compressed":
        raise refused(checkpoint, f"quantization_status is {status!r}, only compressed weights are read")


def _check_format(checkpoint: Checkpoint, name: object) -> None:
    if name is not None and name not in FORMATS:
        raise refused(checkpoint, f"compressed-tensors format {str(name)[:60]!r} is not read", HINT)


def _scheme(checkpoint: Checkpoint, weights: object) -> Scheme:
    if not isinstance(weights, Mapping):
        raise refused(checkpoint, "a config group of compressed-tensors describes no weights")
    bits, kind = weights.get("num_bits", 8), weights.get("type", "int")
    group = weights.get("group_size")
    # Their own reading of a missing strategy: a group size of -1 is a whole row, none the whole tensor.
    implied = "tensor" if group is None else "channel" if group == -1 else "group"
    strategy = weights.get("strategy") or implied
    size = group if isinstance(group, int) and strategy in _GROUPED else 0
    told = f"{bits} bits {kind} per {strategy}, group size {group}"
    is_known = kind in {"int", "float"} and strategy in STRATEGIES and bits in {2, 4, 8}
    if not is_known or (strategy in _GROUPED and size < 1):
        raise refused(checkpoint, f"compressed-tensors weights of {told[:120]} are not read")
    if kind == "float" and weights.get("symmetric", True) is not True:
        raise refused(checkpoint, f"compressed-tensors weights of {told[:120]} with zero points are not read")
    return Scheme(
        bits=bits,
        is_float=kind == "float",
        symmetric=weights.get("symmetric", True) is True,
        strategy=str(strategy),
        group=size,
        block=_block(weights.get("block_structure")),
    )


def _block(said: object) -> object:
    """Return [rows, columns] as a pair; old configs write "128x128"."""
    if isinstance(said, str):
        said = [int(part) if part.isascii() and part.isdigit() else 0 for part in said.split("x")]
    return tuple(said) if isinstance(said, list) else said
