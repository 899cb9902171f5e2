"""What a packing's rule finds in a checkpoint, the form all rules have, and a row that describes one.

Also the two refusals that all of them share. It knows no packing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import IncompleteCover, UnknownPacking
from hubbot.moves import Packed

FLOAT_SCALES = frozenset({"F32", "BF16", "F16"})
# Endings of tensors that speak of activations and the KV cache, not of weights.
ACTIVATIONS = (
    "activation_scale", "input_scale", "input_scale_ub", "input_global_scale", "input_zero_point", "output_scale",
    "output_zero_point", ".k_scale", ".v_scale", ".q_scale", ".prob_output_scale", ".qscale_act",
)  # fmt: skip
ACTIVATION_REASON = "a scale of activations or of the KV cache; the converted model computes in its own dtype"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """One row of the catalogue: how a packing is declared and spelled, and what proves the reading.

    `method` is the quant_method that declares it, `naming` what stands on disk, `example` a full tensor name.
    """

    key: str
    method: str
    naming: str
    example: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The packed tensors of a checkpoint, and the stored tensors that are no part of a weight, with the reason."""

    packed: tuple[Packed, ...]
    dropped: Mapping[str, str]


# (checkpoint, its quantization block) -> what is packed; raises UnknownPacking, IncompleteCover.
Method = Callable[[Checkpoint, Mapping[str, Any]], Found]


def activations(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the tensors that only arithmetic on quantized activations needs, with the reason to drop them."""
    return {name: ACTIVATION_REASON for name in checkpoint.tensors if name.endswith(ACTIVATIONS)}


def needed(tensors: Mapping[str, TensorInfo], name: str, owner: TensorInfo) -> TensorInfo:
    """Return the tensor `name` that packed weight `owner` cannot be read without, or raise IncompleteCover."""
    found = tensors.get(name)
    if found is None:
        raise IncompleteCover(
            f"packed weight {owner.name!r} has no {name!r}",
            where=owner.shard,
            hint="without it the weights would be off by a factor, or unreadable",
        )
    return found


def misfit(*tensors: TensorInfo, told: str) -> IncompleteCover:
    """Return the error for tensors of one weight whose shapes or dtypes do not fit together."""
    shapes = " and ".join(f"{tensor.name!r} {list(tensor.shape)} {tensor.dtype}" for tensor in tensors)
    return IncompleteCover(f"{shapes} do not fit together: {told}", where=tensors[0].shard)


def refused(checkpoint: Checkpoint, told: str, hint: str = "") -> UnknownPacking:
    """Return the error for a declared packing of which one particular is not read."""
    return UnknownPacking(told, where=f"{checkpoint.repo.id}, config.json", hint=hint or None)
