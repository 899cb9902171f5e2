"""The expert tensors of one checkpoint: how many, complete or not, and which way round.

Pure checks on names and shapes; a missing or odd-shaped expert is named by layer and number. It never guesses
an orientation: gate_up and down must agree on exactly one.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from hubbot.catalogue import resolution
from hubbot.catalogue.configs.nesting import decoder, uniform
from hubbot.catalogue.configs.spellings import EXPERTS
from hubbot.catalogue.experts.expert_layouts import BY_KEY, TRANSPOSED, ExpertTensor, LayoutRow
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import AmbiguousLayout, ConfigUnresolved, IncompleteCover, UnknownPacking

MISSING_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The expert tensors of one checkpoint under one row of the catalogue."""

    row: LayoutRow
    tensors: Sequence[ExpertTensor]

    @property
    def layers(self) -> tuple[int, ...]:
        """Return the layers that hold experts, ascending."""
        return tuple(sorted({tensor.layer for tensor in self.tensors}))


_ONE_NUMBER = (
    "transformers and mlx-lm take one number of experts for all layers: bring every layer to the same number "
    "(prune them alike, or fill up with experts that the router never chooses)"
)
# What a layer's router is called behind its block; its first axis counts the experts.
_ROUTERS = re.compile(r"\.(?:gate|router|gate\.wg|router\.layer|router\.gate)\.weight")


def check_even(checkpoint: Checkpoint, experts: Experts) -> None:
    """Raise IncompleteCover where layers hold different numbers of experts, ConfigUnresolved for a list."""
    for key in EXPERTS:
        listed = decoder(checkpoint.config).get(key)
        if isinstance(listed, list) and not isinstance(uniform(key, listed), int):
            raise ConfigUnresolved(
                f"the config says {key} = {str(listed)[:60]}, a number for every layer",
                where=f"{checkpoint.repo.id}, config.json",
                hint=_ONE_NUMBER,
            )
    counts = {layer: found for layer in experts.layers if (found := _count_in(checkpoint, experts, layer))}
    usual = max(counts.values(), default=0)
    odd = next((layer for layer, count in counts.items() if count != usual), None)
    if odd is not None and len(counts) == len(experts.layers):
        other = next(layer for layer, count in counts.items() if count == usual)
        raise IncompleteCover(
            f"layer {odd} has {counts[odd]} experts and a router for as many, layer {other} has {usual}",
            where=checkpoint.repo.id,
            hint=_ONE_NUMBER,
        )


def _count_in(checkpoint: Checkpoint, experts: Experts, layer: int) -> int | None:
    """Return how many experts a layer has where its tensors and its router agree on it, else None."""
    held = [tensor for tensor in experts.tensors if tensor.layer == layer and not tensor.is_bias]
    if experts.row.stacking == "per-expert":
        numbers = {tensor.expert for tensor in held}
        count = len(numbers) if numbers == set(range(len(numbers))) else 0
    else:
        shapes = {checkpoint.tensors[tensor.name].shape for tensor in held}
        count = next(iter(shapes))[0] if experts.row.stacking == "stacked" and shapes else 0
    home = f"{held[0].prefix}.{held[0].block}".rstrip(".")
    rows = {
        info.shape[0]
        for name, info in checkpoint.tensors.items()
        if name.startswith(home) and _ROUTERS.fullmatch(name[len(home) :]) and info.shape
    }
    return count if count and rows == {count} else None


def expert_count(checkpoint: Checkpoint, experts: Experts) -> int:
    """Return the number of routed experts, or raise where config and tensors disagree."""
    declared = resolution.expert_count(checkpoint.config)
    if declared is None:
        raise ConfigUnresolved(
            "experts are there, but the config does not say how many", where=f"{checkpoint.repo.id}, config.json"
        )
    key, count = declared
    if experts.row.stacking == "per-expert" and count > len(experts.tensors):
        # Also what keeps a config that claims a billion experts from being counted one by one.
        raise IncompleteCover(
            f"the config says {key} = {count}, but only {len(experts.tensors)} tensors belong to experts",
            where=checkpoint.repo.id,
        )
    for tensor in experts.tensors:
        shape = checkpoint.tensors[tensor.name].shape
        found = shape[0] if tensor.expert is None and len(shape) == 3 - tensor.is_bias else None
        # Longcat's zero experts have no down projection, but transformers stacks weights for them all the same.
        if found is not None and found not in {count, count + resolution.zero_experts(checkpoint.config)}:
            raise IncompleteCover(
                f"{tensor.name!r} stacks {found} experts, the config says {key} = {count}",
                where=checkpoint.repo.id,
            )
        if tensor.expert is not None and tensor.expert >= count:
            raise IncompleteCover(
                f"layer {tensor.layer} has an expert {tensor.expert}, the config says {key} = {count}",
                where=tensor.name,
            )
    return count


def check_complete(experts: Experts, count: int) -> None:
    """Raise IncompleteCover, naming layer and expert, unless every layer has every projection of every expert."""
    present: dict[int, set[tuple[str, int | None]]] = defaultdict(set)
    for tensor in experts.tensors:
        if not tensor.is_bias:
            present[tensor.layer].add((tensor.projection, tensor.expert))
    numbers: Sequence[int | None] = range(count) if experts.row.stacking == "per-expert" else [None]
    gaps = []
    for layer in experts.layers:
        for expert in numbers:
            lacking = [p for p in experts.row.parts if (p, expert) not in present[layer]]
            if lacking:
                gaps.append((layer, expert, lacking))
    if not gaps:
        return
    told = [
        f"layer {layer}" + ("" if expert is None else f", expert {expert}") + f" lacks {' and '.join(lacking)}"
        for layer, expert, lacking in gaps[:MISSING_SHOWN]
    ]
    more = f"; and {len(gaps) - MISSING_SHOWN} more" if len(gaps) > MISSING_SHOWN else ""
    layer, expert, lacking = gaps[0]
    name = experts.row.parts[lacking[0]].replace("{e}", str(expert))
    raise IncompleteCover(
        f"experts are missing: {'; '.join(told)}{more} (expected {count} experts in each of {len(experts.layers)} "
        "layers)",
        where=f"{experts.tensors[0].block}.{name} of layer {layer}",
        hint="the checkpoint is incomplete; hubbot looks again when it has a new commit",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Which way round the experts are stored, their inner width, and the row that says so."""

    row: LayoutRow
    orientation: str
    width: int


def geometry_of(checkpoint: Checkpoint, experts: Experts, hidden: int | None) -> Geometry:
    """Return orientation and inner width of the experts of a model `hidden` wide, or raise where one differs."""
    by_projection: dict[tuple[str, bool], list[TensorInfo]] = defaultdict(list)
    for tensor in experts.tensors:
        by_projection[tensor.projection, tensor.is_bias].append(checkpoint.tensors[tensor.name])
    rank = 3 if experts.row.stacking == "stacked" else 2
    for (projection, is_bias), tensors in by_projection.items():
        _check_same_shape(f"{projection}{' bias' if is_bias else ''}", tensors, rank - is_bias)
    shape = {p: tensors[0].shape for (p, is_bias), tensors in by_projection.items() if not is_bias}
    if experts.row.stacking == "flat":
        fitting = [("out,in", _flat_width(shape, hidden, resolution.expert_count(checkpoint.config)))]
    else:
        fitting = _orientations(shape, hidden)
    widths = {name: width for name, width in fitting if width is not None}
    found = list(widths)
    told = ", ".join(f"{p} {list(s)}" for p, s in shape.items())
    if not found:
        raise IncompleteCover(
            f"the expert shapes do not fit together with hidden_size = {hidden}: {told}", where=checkpoint.repo.id
        )
    row = experts.row
    if found == ["in,out"]:
        if row.key not in TRANSPOSED:
            raise AmbiguousLayout(
                f"the experts are stored transposed ([in, out]): {told}",
                where=checkpoint.repo.id,
                hint=f"no row of the catalogue has layout {row.key} the other way round",
            )
        row = BY_KEY[TRANSPOSED[row.key]]
    return Geometry(row=row, orientation=found[0], width=int(widths[found[0]] or 0))


def _check_same_shape(projection: str, tensors: Sequence[TensorInfo], rank: int) -> None:
    counts: dict[tuple[int, ...], int] = defaultdict(int)
    for tensor in tensors:
        counts[tensor.shape] += 1
    usual = max(counts, key=lambda shape: counts[shape])
    odd = next((tensor for tensor in tensors if tensor.shape != usual), None)
    if odd is not None:
        raise IncompleteCover(
            f"{odd.name!r} has shape {list(odd.shape)}, the other {projection} tensors have {list(usual)}",
            where=odd.shard,
            hint="one expert of another shape cannot be stacked",
        )
    if len(usual) != rank or 0 in usual:
        raise IncompleteCover(
            f"{tensors[0].name!r} has shape {list(usual)}, a tensor of {rank} axes is expected",
            where=tensors[0].shard,
        )
    dtypes = {tensor.dtype for tensor in tensors}
    if len(dtypes) > 1:
        raise UnknownPacking(f"{projection} tensors are stored in several dtypes: {', '.join(sorted(dtypes))}")


def _orientations(shape: dict[str, tuple[int, ...]], hidden: object) -> list[tuple[str, int | None]]:
    """Return (orientation, inner width or None where it does not fit); both can never fit at once."""
    if "gate_up" in shape:
        *_, a, b = shape["gate_up"]
        *_, c, d = shape["down"]
        out_in = d if (b, c) == (hidden, hidden) and a == 2 * d else None
        in_out = c if (a, d) == (hidden, hidden) and b == 2 * c else None
    else:
        up, down = shape["up"][-2:], shape["down"][-2:]
        gate = shape.get("gate", up)[-2:]
        out_in = gate[0] if gate == up and gate[1] == hidden and down == (hidden, gate[0]) else None
        in_out = gate[1] if gate == up and gate[0] == hidden and down == (gate[1], hidden) else None
        if out_in is not None and in_out is not None:
            in_out = None  # square: one tensor per projection is [out, in] in every family the rows cite
    return [("out,in", out_in), ("in,out", in_out)]


def _flat_width(shape: dict[str, tuple[int, ...]], hidden: object, declared: tuple[str, int] | None) -> int | None:
    """Return one expert's width where all projections are [experts * width, hidden]."""
    rows, columns = shape["down"]
    count = declared[1] if declared else 0
    alike = len(set(shape.values())) == 1 and columns == hidden
    return rows // count if alike and count > 0 and rows % count == 0 else None


_LAYER = re.compile(r"(?:^|\.)(?:layers|transformer\.blocks)\.([0-9]{1,6})\.")


def check_layers(checkpoint: Checkpoint, layers: int) -> None:
    """Raise IncompleteCover unless exactly the layers that the config claims have tensors."""
    seen = {int(found[1]) for name in checkpoint.tensors if (found := _LAYER.search(name))}
    # Also what keeps a config that claims a million layers from being built.
    missing = next((layer for layer in range(min(layers, len(seen) + 1)) if layer not in seen), None)
    if missing is not None:
        raise IncompleteCover(
            f"the config says num_hidden_layers = {layers}, but no tensor belongs to layer {missing}",
            where=checkpoint.repo.id,
            hint="the checkpoint is incomplete, or config.json describes another model",
        )
    beyond = sorted(layer for layer in seen if layer >= layers)
    if beyond:
        raise IncompleteCover(
            f"there are tensors of layer {beyond[0]}, but the config says num_hidden_layers = {layers}",
            where=checkpoint.repo.id,
            hint="an extra layer is usually a multi-token-prediction head, which this version does not take",
        )
