"""Decide a whole conversion before a weight is read: config, moves, drops, encodings, bytes.

Exact cover: every source tensor is used once or dropped with a reason, every parameter of the runtime's model
is made once. It never reads weights.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from hubbot.catalogue import dialects, layouts, runtimes
from hubbot.catalogue.experts import check_layers
from hubbot.catalogue.families import BY_MODEL_TYPE, Family
from hubbot.catalogue.layouts import ExpertTensor
from hubbot.catalogue.roles import role_of
from hubbot.catalogue.tensors import drop_reason, runtime_name
from hubbot.catalogue.variants import VARIANTS, Subject, Variant, encode
from hubbot.checkpoints import Checkpoint
from hubbot.device import runtime
from hubbot.device.runtime import Parameter
from hubbot.device.streams import CACHE_BYTES
from hubbot.errors import IncompleteCover, RecipeIneffective, UnknownLayout, WrongUsage
from hubbot.plans import Drop, Layout, Move, Plan, PlannedVariant

# Importing mlx-lm and transformers takes this much by itself (measured on Linux x86-64).
RUNTIME_BYTES = 300 << 20


def plan(checkpoint: Checkpoint, layout: Layout, variants: Sequence[str | Variant], *, working_bytes: int) -> Plan:
    """Return the plan for `variants` (catalogue names or recipes), or raise IncompleteCover or WrongUsage."""
    recipes = [variant_named(item) if isinstance(item, str) else item for item in variants]
    family = BY_MODEL_TYPE[checkpoint.model_type]
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None, "classify found the runtime"
    resolution = dialects.resolve(checkpoint.config, family, fields)
    config = dict(resolution.config)
    check_layers(checkpoint, dialects.layer_count(config) or 0)
    parameters = runtime.skeleton(config)
    moves, drops = _cover(checkpoint, layout, family, config, parameters)
    planned = tuple(_variant(recipe, checkpoint, moves, parameters) for recipe in recipes)
    return Plan(
        source=checkpoint.repo,
        layout=layout,
        config=config,
        origins=resolution.origins,
        moves=tuple(moves),
        drops=tuple(drops),
        variants=planned,
        disk_bytes=sum(variant.nbytes for variant in planned),
        memory_bytes=RUNTIME_BYTES + CACHE_BYTES + working_bytes,
        versions=runtime.versions(),
    )


def variant_named(name: str) -> Variant:
    """Return the variant of that name, or raise WrongUsage listing the names there are."""
    if name not in VARIANTS:
        raise WrongUsage(f"there is no variant {name!r}", hint=f"one of: {' '.join(VARIANTS)}")
    return VARIANTS[name]


def _cover(
    checkpoint: Checkpoint,
    layout: Layout,
    family: Family,
    config: Mapping[str, Any],
    parameters: Sequence[Parameter],
) -> tuple[list[Move], list[Drop]]:
    wanted = {parameter.name: parameter for parameter in parameters}
    experts, _ = layouts.read_names(checkpoint.tensors)
    expert_names = {tensor.name for tensor in experts}
    moves = _expert_moves(experts, layout, family, wanted)
    drops: list[Drop] = []
    for name in checkpoint.tensors:
        if name in expert_names:
            continue
        reason = drop_reason(name, config)
        if reason is not None:
            drops.append(Drop(name=name, reason=reason))
            continue
        moves.append(_plain_move(name, runtime_name(name, family), wanted))
    _check_exact(checkpoint, moves, wanted)
    order = {parameter.name: index for index, parameter in enumerate(parameters)}
    return sorted(moves, key=lambda move: order[move.output]), drops


def _plain_move(name: str, output: str, wanted: Mapping[str, Parameter]) -> Move:
    parameter = wanted.get(output)
    if parameter is None:
        raise IncompleteCover(
            f"source tensor {name!r} has no place in mlx-lm's model",
            where=name,
            hint="a tensor that would be lost is never dropped silently; a catalogue row must say what it is",
        )
    return Move(
        output=output,
        shape=parameter.shape,
        role=role_of(output),
        sources=(name,),
        stacked=False,
        transposed=False,
        rows=None,
        quantizable=parameter.quantizable,
    )


def _expert_moves(
    experts: Sequence[ExpertTensor], layout: Layout, family: Family, wanted: Mapping[str, Parameter]
) -> list[Move]:
    groups: dict[tuple[str, str], list[ExpertTensor]] = defaultdict(list)
    for tensor in experts:
        groups[tensor.prefix, tensor.projection].append(tensor)
    moves = []
    for (prefix, projection), group in groups.items():
        sources = tuple(tensor.name for tensor in sorted(group, key=lambda tensor: tensor.expert or 0))
        for part in ("gate", "up") if projection == "gate_up" else (projection,):
            output = f"{prefix}.{family.runtime_block}.{family.expert_module}.{part}_proj.weight"
            parameter = wanted.get(output)
            if parameter is None:
                raise IncompleteCover(f"mlx-lm's model has no experts at {output!r}", where=sources[0])
            moves.append(
                Move(
                    output=output,
                    shape=parameter.shape,
                    role=role_of(output),
                    sources=sources,
                    stacked=group[0].expert is not None,
                    transposed=layout.orientation == "in,out",
                    rows=_rows(part, parameter.shape[1], layout) if projection == "gate_up" else None,
                    quantizable=parameter.quantizable,
                )
            )
    return moves


def _rows(part: str, width: int, layout: Layout) -> tuple[int, int, int]:
    """Return (start, stop, step) of gate or up among the 2 x `width` output rows of a fused tensor."""
    if layout.order == "concatenated":
        return (0, width, 1) if part == "gate" else (width, 2 * width, 1)
    if layout.order == "interleaved":
        return (0, 2 * width, 2) if part == "gate" else (1, 2 * width, 2)
    raise UnknownLayout(f"the order of gate and up in row {layout.row} is {layout.order!r}")


def _check_exact(checkpoint: Checkpoint, moves: Sequence[Move], wanted: Mapping[str, Parameter]) -> None:
    made: dict[str, Move] = {}
    for move in moves:
        if move.output in made:
            raise IncompleteCover(
                f"{move.output!r} would be made twice, from {made[move.output].sources[0]!r} "
                f"and {move.sources[0]!r}"
            )
        made[move.output] = move
        shape = _made_shape(checkpoint, move)
        if shape != move.shape:
            raise IncompleteCover(
                f"{move.sources[0]!r} gives {list(shape)}, mlx-lm's {move.output!r} needs {list(move.shape)}",
                where=move.output,
                hint="config.json and the weights do not belong together",
            )
    missing = [name for name in wanted if name not in made]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise IncompleteCover(
            f"nothing in the source makes {missing[0]!r}{more}",
            where=missing[0],
            hint="a tensor is missing from the checkpoint, or config.json describes another model",
        )


def _made_shape(checkpoint: Checkpoint, move: Move) -> tuple[int, ...]:
    shape = checkpoint.tensors[move.sources[0]].shape
    if move.stacked:
        shape = (len(move.sources), *shape)
    if move.transposed:
        shape = (*shape[:-2], shape[-1], shape[-2])
    if move.rows is not None:
        start, stop, step = move.rows
        if stop > shape[-2]:
            return shape
        shape = (*shape[:-2], len(range(start, stop, step)), shape[-1])
    return shape


def _variant(
    recipe: Variant, checkpoint: Checkpoint, moves: Sequence[Move], parameters: Sequence[Parameter]
) -> PlannedVariant:
    by_name = {parameter.name: parameter for parameter in parameters}
    main_dtype = _main_dtype(checkpoint)
    encodings = {}
    unquantized = []
    for move in moves:
        parameter = by_name[move.output]
        subject = Subject(
            name=move.output,
            role=move.role,
            shape=move.shape,
            source_dtype=checkpoint.tensors[move.sources[0]].dtype,
            main_dtype=main_dtype,
            quantizable=parameter.quantizable,
            predicate=parameter.predicate,
            takes_global_scale=parameter.takes_global_scale,
        )
        encodings[move.output], reason = encode(subject, recipe)
        if reason is not None:
            unquantized.append(Drop(name=move.output, reason=reason))
    if recipe.is_quantized and not any(encoding.is_quantized for encoding in encodings.values()):
        reason = unquantized[0].reason if unquantized else "no layer can be quantized"
        raise RecipeIneffective(
            f"variant {recipe.name} would quantize nothing: {reason}",
            hint="choose bf16, fp16 or fp32 for this checkpoint",
        )
    nbytes = sum(encodings[move.output].nbytes(move.output, move.shape) for move in moves)
    elements = sum(math.prod(move.shape) for move in moves)
    return PlannedVariant(
        name=recipe.name,
        recipe=recipe.to_json(),
        encodings=encodings,
        nbytes=nbytes,
        bits_per_weight=round(8 * nbytes / max(1, elements), 4),
        unquantized=tuple(unquantized),
    )


def _main_dtype(checkpoint: Checkpoint) -> str:
    sizes: dict[str, int] = defaultdict(int)
    for tensor in checkpoint.tensors.values():
        sizes[tensor.dtype] += tensor.elements
    return max(sizes, key=lambda dtype: sizes[dtype])
