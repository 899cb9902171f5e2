"""The twin of a source: a shrunken model of the same names, flags and kinds of layers, small enough to number.

It is unpacked, in float32 or as int64, and holds the tensors that are dropped too. It has no bytes here.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hubbot.catalogue import packings, resolution, runtimes
from hubbot.catalogue.configs.nesting import TEXT, decoder
from hubbot.catalogue.experts import expert_layouts
from hubbot.catalogue.experts.completeness import Experts
from hubbot.catalogue.experts.orientation import geometry_of
from hubbot.catalogue.families import Family
from hubbot.catalogue.tensors import ZERO_BIAS, without_drops
from hubbot.catalogue.towers import VISION
from hubbot.checkpoints import FLOAT_DTYPES, Checkpoint, Repo, TensorInfo
from hubbot.checks.tracer.expected_shapes import ExpectedShapes, Shape
from hubbot.checks.twins.shrinking import shrink
from hubbot.errors import ConfigUnresolved, NoRuntime
from hubbot.runtime import loading

# A source of at most so many elements is its own twin.
SMALL = 1_000_000
# Of a tensor that is dropped only the name counts.
DROPPED_AXIS = 2
SHARD = "model.safetensors"
_LAYER = re.compile(r"(?:(?<=\blayers\.)|(?<=\bh\.)|(?<=\bblocks\.))\d+(?=\.)")
_EXPERT = re.compile(r"(?<=\.experts\.)\d+(?=\.)")
# How a source says that it is packed; the twin is not.
_PACKING_KEYS = ("quantization_config", "quantization", "compression_config")
_HEADS = "num_nextn_predict_layers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A checkpoint without bytes, F32 in one file; `resolved` is its config as the runtime takes it.

    `drops` are the tensors that mlx-lm's class has no place for, a tower's among them, with the reason; `idle` are
    stacks that end with zero experts.
    """

    checkpoint: Checkpoint
    resolved: Mapping[str, Any]
    drops: Mapping[str, str]
    idle: frozenset[str]

    @property
    def shapes(self) -> dict[str, Shape]:
        """Return the shape of every tensor by name, in the order in which they are numbered."""
        return {name: info.shape for name, info in self.checkpoint.tensors.items()}


def twin_of(checkpoint: Checkpoint, family: Family, *, small: int = SMALL, text_only: bool = False) -> Twin:
    """Return the twin of `checkpoint`; sources of at most `small` elements keep their sizes.

    With `text_only` it says nothing of how to see, so that its tower is left out.

    Raises ConfigUnresolved or IncompleteCover where the smaller config is not one that the runtime takes.
    """
    logical = packings.unpacked(checkpoint).checkpoint
    config, dropped_axis = _unpacked_config(logical.config), None
    if text_only:
        config.pop(VISION, None)
    if sum(info.elements for info in logical.tensors.values()) > small:
        dropped_axis = DROPPED_AXIS
        config = shrink(config, without_drops(logical, family)[0].tensors)
        _keep_a_head(config, logical.config)
    resolved = _resolved(config, family)
    kept = dict(_kept(logical, config, family))
    _, drops = without_drops(replace(logical, config=config, tensors=kept), family)
    outlines = _outlines(logical, config, resolved, family)
    drops = {**drops, **{name: ZERO_BIAS for name in kept if name not in drops and outlines.is_stray_bias(name)}}
    shapes = {
        name: tuple(min(dropped_axis or axis, axis) for axis in info.shape)
        if name in drops
        else _as_stored(outlines.of(name), info.shape)
        for name, info in kept.items()
    }
    known, _ = expert_layouts.read_names(name for name in shapes if name not in drops)
    idle = frozenset(tensor.name for tensor in known if tensor.projection in outlines.idle)
    tables = frozenset(name for name, info in kept.items() if info.dtype not in FLOAT_DTYPES)
    return Twin(checkpoint=_checkpoint(config, shapes, tables), resolved=resolved, drops=drops, idle=idle)


def _as_stored(shape: Shape, stored: Shape) -> Shape:
    """Return the shape of a vector with the axes of length 1 that the source has beside its own."""
    if len(shape) != 1 or sum(axis > 1 for axis in stored) > 1:
        return shape
    place = max(range(len(stored)), key=lambda axis: stored[axis], default=0)
    return tuple(shape[0] if axis == place else 1 for axis in range(len(stored)))


def _unpacked_config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _unpacked_config(value) if key == TEXT and isinstance(value, Mapping) else value
        for key, value in config.items()
        if key not in _PACKING_KEYS
    }


def _keep_a_head(config: dict[str, Any], original: Mapping[str, Any]) -> None:
    """Let a source with multi-token-prediction heads have one still: that it is dropped is to be seen."""
    heads = decoder(original).get(_HEADS)
    if isinstance(heads, int) and heads > 0:
        inner = config[TEXT] if isinstance(config.get(TEXT), dict) else config
        inner[_HEADS] = 1


def _resolved(config: Mapping[str, Any], family: Family) -> Mapping[str, Any]:
    fields = runtimes.fields(family.runtime, family.model_file)
    if fields is None:
        raise NoRuntime(f"mlx-lm {runtimes.version()} has no class {family.runtime}")
    found = resolution.resolve(config, family, fields)
    if found.problems:
        raise ConfigUnresolved(f"the twin's config: {'; '.join(found.problems)}")
    return found.config


def _outlines(
    logical: Checkpoint, config: Mapping[str, Any], resolved: Mapping[str, Any], family: Family
) -> ExpectedShapes:
    taken, _ = without_drops(logical, family)
    known, _ = expert_layouts.read_names(taken.tensors)
    experts = Experts(row=expert_layouts.row_of(known), tensors=known)
    geometry = geometry_of(taken, experts, resolution.expert_input_size(logical.config))
    declared, zeros = resolution.expert_count(logical.config), resolution.zero_experts(logical.config)
    full = (declared[1] if declared else 0) + zeros
    stacks = [tensor.projection for tensor in known if tensor.expert is None and zeros]
    held = {tensor.projection: taken.tensors[tensor.name].shape[0] for tensor in known}
    return ExpectedShapes(
        family=family,
        config=resolved,
        shapes={parameter.name: parameter.shape for parameter in loading.skeleton(resolved)},
        transposed=geometry.orientation == "in,out",
        idle={part: resolution.zero_experts(config) for part in stacks if held[part] == full},
    )


def _kept(logical: Checkpoint, config: Mapping[str, Any], family: Family) -> Iterator[tuple[str, TensorInfo]]:
    """Yield what the twin has of the source's tensors, under the names that they have in it."""
    _, drops = without_drops(logical, family)
    layers = (resolution.layer_count(logical.config) or 0, resolution.layer_count(config) or 0)
    experts = tuple((resolution.expert_count(c) or ("", 0))[1] for c in (logical.config, config))
    beyond = experts[1] + resolution.zero_experts(config)
    for name, info in logical.tensors.items():
        is_dropped = name in drops
        found = _renumbered(name, _LAYER, layers, beyond=is_dropped)
        found = found and _renumbered(found, _EXPERT, experts, beyond=is_dropped)
        # Of the zero experts, which are left out of a conversion, no more stay than the twin's config says.
        numbers = _EXPERT.search(found) if found is not None and is_dropped else None
        if found is not None and not (numbers and int(numbers[0]) >= beyond):
            yield found, info


def _renumbered(name: str, pattern: re.Pattern[str], counts: tuple[int, ...], *, beyond: bool) -> str | None:
    """Return the name under which a tensor stays where of `counts`[0] layers or experts `counts`[1] stay, or None.

    Those `beyond` them, heads and zero experts, are counted on from there.
    """
    before, after = counts
    found = pattern.search(name)
    if not found or int(found[0]) < after:
        return name
    number = int(found[0]) - before
    if not beyond or number < 0:
        return None
    return f"{name[: found.start()]}{after + number}{name[found.end() :]}"


def _checkpoint(config: Mapping[str, Any], shapes: Mapping[str, Shape], tables: frozenset[str]) -> Checkpoint:
    """Return the twin's checkpoint; `tables` are its tensors of integers, I64 beside F32."""
    tensors, position = {}, 0
    for name, shape in shapes.items():
        stop = position + (8 if name in tables else 4) * math.prod(shape)
        tensors[name] = TensorInfo(
            name=name, dtype="I64" if name in tables else "F32", shape=shape, shard=SHARD, start=position, end=stop
        )
        position = stop
    return Checkpoint(
        repo=Repo(id="twin", revision="local-twin"), config=config, card={}, files=(), tensors=tensors,
        gated=False, private=False, requests=0, bytes_read=0,
    )  # fmt: skip
