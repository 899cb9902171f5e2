"""Which way round experts are stored, and how wide they are: one rule on shapes, for convert and relayout alike.

All experts of one projection have one shape and dtype, and all projections of an expert have to fit together one
way round. It reads no values, and never guesses.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hubbot.catalogue import resolution
from hubbot.catalogue.experts.completeness import Experts
from hubbot.catalogue.experts.expert_layouts import BIAS, TRANSPOSED, ExpertTensor, LayoutRow
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import AmbiguousLayout, IncompleteCover, UnknownPacking

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Which way round the experts are stored, the row that says so, and one expert's sizes.

    `hidden` is the width of what an expert reads and makes, `width` its inner width; `dtypes` are those of the
    stored tensors by projection, that of a bias under the projection with "_bias".
    """

    row: LayoutRow
    orientation: str
    hidden: int
    width: int
    dtypes: Mapping[str, str]


def geometry_of(checkpoint: Checkpoint, experts: Experts, hidden: int | None) -> Geometry:
    """Return the geometry of the experts of a model `hidden` wide.

    Raises IncompleteCover where one expert or `hidden` differs, UnknownPacking where dtypes do, AmbiguousLayout
    where no row is stored that way round.
    """
    found = shapes_of(checkpoint, experts, hidden)
    if found.hidden != hidden:
        raise _misfit(checkpoint, experts, hidden)
    if found.orientation == "in,out" and found.row.orientation != "in,out":
        raise AmbiguousLayout(
            f"the experts are stored transposed ([in, out]): {_told(_stored(checkpoint, experts))}",
            where=checkpoint.repo.id,
            hint=f"no row of the catalogue has layout {found.row.key} the other way round",
        )
    return found


def shapes_of(checkpoint: Checkpoint, experts: Experts, hidden: int | None) -> Geometry:
    """Return the geometry that the shapes alone tell; `hidden` decides where both ways round would fit.

    Raises IncompleteCover and UnknownPacking as `geometry_of` does. The row is the transposed one where there is
    one.
    """
    stored = _stored(checkpoint, experts)
    shapes = {key: info.shape for key, info in stored.items()}
    if experts.row.stacking == "flat":
        fitting = _flat(shapes, resolution.expert_count(checkpoint.config))
    else:
        lead = 1 if experts.row.stacking == "stacked" else 0
        fitting = _fitting({key: shape[lead:] for key, shape in shapes.items()})
    if not fitting:
        raise _misfit(checkpoint, experts, hidden)
    # One tensor per projection fits both ways round; as the rows say where the width does not speak against it.
    orientation = next((way for way, (height, _) in fitting.items() if height == hidden), next(iter(fitting)))
    row = experts.row
    if orientation == "in,out":
        row = TRANSPOSED.get(row.key, row)
    height, width = fitting[orientation]
    return Geometry(
        row=row,
        orientation=orientation,
        hidden=height,
        width=width,
        dtypes={key: info.dtype for key, info in stored.items()},
    )


def _stored(checkpoint: Checkpoint, experts: Experts) -> dict[str, TensorInfo]:
    """Return by projection the one tensor that stands for all, or raise naming the expert that differs."""
    by_projection: dict[str, list[ExpertTensor]] = defaultdict(list)
    for tensor in experts.tensors:
        by_projection[tensor.projection + BIAS * tensor.is_bias].append(tensor)
    rank = 3 if experts.row.stacking == "stacked" else 2
    return {
        key: _same(checkpoint, key.replace(BIAS, " bias"), tensors, rank - key.endswith(BIAS))
        for key, tensors in by_projection.items()
    }


def _same(checkpoint: Checkpoint, projection: str, tensors: Sequence[ExpertTensor], rank: int) -> TensorInfo:
    infos = [checkpoint.tensors[tensor.name] for tensor in tensors]
    usual, _ = Counter(info.shape for info in infos).most_common(1)[0]
    for tensor, info in zip(tensors, infos, strict=True):
        if info.shape != usual:
            raise IncompleteCover(
                f"{tensor.name!r} ({_which(tensor)}) has shape {list(info.shape)}, the other {projection} tensors "
                f"have {list(usual)}",
                where=info.shard,
                hint="one expert of another shape cannot be stacked",
            )
    if len(usual) != rank or 0 in usual:
        raise IncompleteCover(
            f"{tensors[0].name!r} has shape {list(usual)}, a tensor of {rank} axes is expected",
            where=infos[0].shard,
        )
    dtype, _ = Counter(info.dtype for info in infos).most_common(1)[0]
    odd = next((tensor for tensor, info in zip(tensors, infos, strict=True) if info.dtype != dtype), None)
    if odd is not None:
        dtypes = ", ".join(sorted({info.dtype for info in infos}))
        raise UnknownPacking(
            f"{projection} tensors are stored in several dtypes: {dtypes}; that of {_which(odd)} is "
            f"{checkpoint.tensors[odd.name].dtype}",
            where=odd.name,
        )
    return infos[0]


def _which(tensor: ExpertTensor) -> str:
    return f"layer {tensor.layer}" + ("" if tensor.expert is None else f", expert {tensor.expert}")


def _fitting(shapes: Mapping[str, Shape]) -> dict[str, tuple[int, int]]:
    """Return (hidden, inner width) by each way round that fits, [out, in] first.

    For a fused pair 2I x H and H x I can never fit both ways. One tensor per projection always does, and a square
    one even with biases.
    """
    turned = {key: shape[::-1] for key, shape in shapes.items()}
    ways = {"out,in": shapes, "in,out": turned}
    return {way: (found["down"][0], found["down"][1]) for way, found in ways.items() if _fits(found)}


def _fits(shapes: Mapping[str, Shape]) -> bool:
    """Say whether the matrices are one MLP's: gate and up [I, H], down [H, I], biases as long as their rows."""
    hidden, width = shapes["down"]
    expected = {"gate_up": (2 * width, hidden), "gate": (width, hidden), "up": (width, hidden)}
    return all(
        shape == expected.get(key, (hidden, width))
        if not key.endswith(BIAS)
        else shape == shapes[key.removesuffix(BIAS)][:1]
        for key, shape in shapes.items()
    )


def _flat(shapes: Mapping[str, Shape], declared: tuple[str, int] | None) -> dict[str, tuple[int, int]]:
    """Return (hidden, inner width) where all projections are [experts * width, hidden]."""
    rows, hidden = shapes["down"]
    count = declared[1] if declared else 0
    fits = len(set(shapes.values())) == 1 and count > 0 and rows % count == 0
    return {"out,in": (hidden, rows // count)} if fits else {}


def _misfit(checkpoint: Checkpoint, experts: Experts, hidden: int | None) -> IncompleteCover:
    wide = "" if hidden is None else f" with hidden_size = {hidden}"
    return IncompleteCover(
        f"the expert shapes do not fit together{wide}: {_told(_stored(checkpoint, experts))}",
        where=f"{checkpoint.repo.id}, {experts.tensors[0].home}",
    )


def _told(stored: Mapping[str, TensorInfo]) -> str:
    return ", ".join(f"{key} {list(info.shape)}" for key, info in stored.items())
