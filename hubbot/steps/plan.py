"""Decide a whole conversion before a weight is read: config, moves, drops, encodings, bytes.

Exact cover: every source tensor is used once or dropped with a reason, every parameter of the runtime's model
is made once. It never reads weights.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hubbot.catalogue import packings, resolution, runtimes
from hubbot.catalogue.experts import expert_layouts
from hubbot.catalogue.experts.completeness import check_layers
from hubbot.catalogue.experts.expert_layouts import ExpertTensor
from hubbot.catalogue.experts.parameter_names import parameters_of
from hubbot.catalogue.families import Family, family_of
from hubbot.catalogue.reshapes import Reshaped, reshaped
from hubbot.catalogue.source_names import source_names
from hubbot.catalogue.tensors import (
    TOWER,
    ZERO_BIAS,
    is_stray_bias,
    is_tied,
    runtime_name,
    share,
    tower_of,
    without_drops,
)
from hubbot.catalogue.towers import ROLE, KeptTower
from hubbot.catalogue.variants.named_variants import VARIANTS, Subject, Variant, encode
from hubbot.catalogue.variants.roles import role_of
from hubbot.checkpoints import FLOAT_DTYPES, Checkpoint, TensorInfo
from hubbot.engine import kept_codes
from hubbot.engine.memory_estimate import slice_bytes
from hubbot.engine.reader import Sources
from hubbot.errors import IncompleteCover, NeedsHuman, RecipeIneffective, UnknownLayout, WrongUsage, some_of
from hubbot.moves import TRANSPOSE, Move, Step, take
from hubbot.plans import Drop, Encoding, Layout, Plan, PlannedVariant
from hubbot.runtime import loading
from hubbot.runtime.loading import Parameter

# (parameter, number of tensors it is made of) -> the move of each by its place.
Joins = dict[tuple[str, int], dict[int, Move]]
# Importing mlx-lm and transformers takes this much by itself (measured on Linux x86-64).
RUNTIME_BYTES = 300 << 20


def plan(
    checkpoint: Checkpoint,
    layout: Layout,
    variants: Sequence[str | Variant],
    *,
    working_bytes: int,
    text_only: bool = False,
) -> Plan:
    """Return the plan for `variants`, names of the catalogue or recipes of the person's own.

    With `text_only` the tower of a model that also sees is left out, as it is where mlx-vlm cannot keep it.

    Raises WrongUsage for an unknown name, ConfigUnresolved for a config that the runtime cannot be given,
    IncompleteCover where a source tensor or a parameter of the model is left over, NeedsHuman where the tokenizer
    cannot be had, and RecipeIneffective for a variant that would quantize nothing.
    """
    refuse_tokenizer(checkpoint)
    recipes = [variant_named(item) if isinstance(item, str) else item for item in variants]
    family = family_of(checkpoint)
    assert family is not None, "classify found the family"
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None, "classify found the runtime"
    physical, stored = checkpoint, packings.unpacked(checkpoint)
    checkpoint = stored.checkpoint
    tower = tower_of(checkpoint, stored.packed, family, text_only=text_only)
    resolved = resolution.resolve(checkpoint.config, family, fields, sees=tower.is_kept)
    config = dict(resolved.config)
    check_layers(without_drops(physical, family)[0], resolution.layer_count(config) or 0)
    parameters = loading.skeleton(config)
    moves, drops = _cover(checkpoint, layout, family, config, parameters)
    moves += _tower_moves(tower, checkpoint)
    beside = [Drop(name=name, reason=reason) for name, reason in stored.dropped.items()]
    sources = Sources(tensors=physical.tensors, packed=stored.packed)
    made = (_variant(recipe, checkpoint, moves, parameters, text_only=text_only) for recipe in recipes)
    planned = tuple(kept_codes.mark_kept(variant, moves, sources) for variant in made)
    slices = slice_bytes(moves, planned, sources, working_bytes=working_bytes)
    return Plan(
        source=checkpoint.repo,
        layout=layout,
        config=config,
        origins=resolved.origins,
        moves=tuple(moves),
        drops=(*_with_the_tower(drops, tower), *beside),
        packed=tuple(stored.packed.values()),
        variants=planned,
        disk_bytes=sum(variant.nbytes for variant in planned),
        memory_bytes=RUNTIME_BYTES + slices,
        versions=loading.versions(),
        text_only=tower.reason,
    )


def _tower_moves(tower: KeptTower, checkpoint: Checkpoint) -> Iterator[Move]:
    for name, made in tower.parts.items():
        source = checkpoint.tensors[name].shape
        move = Move(
            output=made.output, shape=source, role=ROLE, sources=(name,), stacked=False, quantizable=False,
            view=made.view,
        )  # fmt: skip
        yield replace(move, shape=move.made_shape(source)) if made.view else move


def _with_the_tower(drops: Sequence[Drop], tower: KeptTower) -> Iterator[Drop]:
    """Yield what is dropped beside a kept tower, or the tower's tensors with the reason why none is kept."""
    for drop in drops:
        if drop.name in tower.left_out:
            yield replace(drop, reason=tower.left_out[drop.name])
        elif drop.name not in tower.parts:
            why = tower.reason if drop.reason == TOWER else None
            yield replace(drop, reason=f"{TOWER}: {why}") if why else drop


def refuse_tokenizer(checkpoint: Checkpoint) -> None:
    """Raise NeedsHuman where `inspect` found that the checkpoint's tokenizer cannot be had."""
    if checkpoint.tokenizer_fault is not None:
        message, where, hint = checkpoint.tokenizer_fault
        raise NeedsHuman(
            message, where=f"{checkpoint.repo.id}, {where}" if where else checkpoint.repo.id, hint=hint
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
    kept, dropped = without_drops(checkpoint, family)
    experts, _ = expert_layouts.read_names(kept.tensors)
    expert_names = {tensor.name for tensor in experts if not tensor.is_flat}
    moves = _expert_moves([tensor for tensor in experts if not tensor.is_flat], layout, family, wanted)
    unplaced: list[str] = []
    drops = [Drop(name=name, reason=reason) for name, reason in dropped.items()]
    joins: Joins = defaultdict(dict)
    for name, info in kept.tensors.items():
        if name in expert_names:
            continue
        if info.dtype in FLOAT_DTYPES and is_stray_bias(name, family, config, wanted):
            drops.append(Drop(name=name, reason=ZERO_BIAS))  # proven before a weight is written
        else:
            moves += _plain_moves(info, family, config, wanted, unplaced, joins)
    moves += _joined(joins, kept)
    if is_tied(checkpoint.config, family):
        moves += _output_layer(moves, wanted)
    if unplaced:
        raise _left_over(unplaced, moves, wanted, family)
    _check_exact(checkpoint, moves, {name: share(name, family, config) for name in kept.tensors})
    if len(moves) < len(wanted):
        raise _left_over(unplaced, moves, wanted, family)
    order = {parameter.name: index for index, parameter in enumerate(parameters)}
    return sorted(moves, key=lambda move: order[move.output]), drops


def _plain_moves(
    tensor: TensorInfo,
    family: Family,
    config: Mapping[str, Any],
    wanted: Mapping[str, Parameter],
    unplaced: list[str],
    joins: Joins,
) -> Iterator[Move]:
    """Yield the moves that use the tensor; one without a place is added to `unplaced`, a part to `joins`."""
    name = tensor.name
    for piece in reshaped(runtime_name(name, family), family.reshapes, config):
        parameter = wanted.get(piece.output)
        if parameter is None:
            unplaced.append(name)
            return
        if (tensor.dtype not in FLOAT_DTYPES) != parameter.is_table or (parameter.is_table and piece.view):
            kinds = ("integers", "floats") if tensor.dtype not in FLOAT_DTYPES else ("floats", "integers")
            raise IncompleteCover(
                f"source tensor {name!r} ({tensor.dtype}) holds {kinds[0]}, mlx-lm's model has {kinds[1]} there",
                where=name,
                hint="its place in mlx-lm's model is known, how to write it is not",
            )
        made = Move(
            output=piece.output,
            shape=parameter.shape,
            role=role_of(piece.output),
            sources=(name,),
            stacked=piece.join is not None,
            quantizable=parameter.quantizable,
            groups=1 if piece.flat else piece.groups,
            units=_units(piece, tensor.shape),
            view=piece.view,
        )
        if piece.join is None:
            yield made
        else:
            joins[piece.output, piece.join[1]][piece.join[0]] = made


def _joined(joins: Joins, checkpoint: Checkpoint) -> Iterator[Move]:
    """Yield the parameters that several tensors of one shape and dtype make, one below the other."""
    for (output, count), parts in joins.items():
        if len(parts) < count:
            continue  # the parameter has no source, which is told with the others that have none
        sources = tuple(parts[number].sources[0] for number in range(count))
        first, *others = (checkpoint.tensors[name] for name in sources)
        for other in others:
            if (other.shape, other.dtype) != (first.shape, first.dtype):
                raise IncompleteCover(
                    f"{first.name!r} {list(first.shape)} {first.dtype} and {other.name!r} {list(other.shape)} "
                    f"{other.dtype} cannot be joined in mlx-lm's {output!r}",
                    where=other.name,
                )
        yield replace(parts[0], sources=sources)


def _output_layer(moves: Sequence[Move], wanted: Mapping[str, Parameter]) -> Iterator[Move]:
    """Yield the output layer as a copy of the embedding, where the class has one of its own and cannot tie it."""
    made = {move.output for move in moves}
    heads = [name for name in wanted if role_of(name) == "lm_head" and name not in made]
    embeddings = [move for move in moves if move.role == "embedding"]
    if len(heads) == len(embeddings) == 1:
        quantizable = wanted[heads[0]].quantizable
        yield replace(embeddings[0], output=heads[0], role="lm_head", quantizable=quantizable, is_copy=True)


def _units(made: Reshaped, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return which units of the source a piece takes; None for all."""
    if made.part is None:
        return None
    number, count = made.part
    units = made.groups or shape[0]
    return (number * units // count, (number + 1) * units // count)


def _expert_moves(
    experts: Sequence[ExpertTensor], layout: Layout, family: Family, wanted: Mapping[str, Parameter]
) -> list[Move]:
    groups: dict[tuple[str, str, bool], list[ExpertTensor]] = defaultdict(list)
    for tensor in experts:
        groups[tensor.prefix, tensor.projection, tensor.is_bias].append(tensor)
    moves = []
    for group in groups.values():
        first = group[0]
        sources = tuple(tensor.name for tensor in sorted(group, key=lambda tensor: tensor.expert or 0))
        for part, output in parameters_of(first, family):
            parameter = wanted.get(output)
            if parameter is None:
                raise IncompleteCover(f"mlx-lm's model has no experts at {output!r}", where=sources[0])
            width = parameter.shape[1]
            moves.append(
                Move(
                    output=output,
                    shape=parameter.shape,
                    role=role_of(output),
                    sources=sources,
                    stacked=first.expert is not None,
                    quantizable=parameter.quantizable,
                    # A stack may hold weights of experts that compute nothing; the real ones come first.
                    units=None if first.expert is not None else (0, parameter.shape[0]),
                    view=tuple(_expert_view(part, width, first, layout)),
                )
            )
    return moves


def _expert_view(part: str, width: int, tensor: ExpertTensor, layout: Layout) -> Iterator[Step]:
    """Yield the steps from an expert as stored to [out, in] (a bias: [out]) of one projection `width` wide."""
    if layout.orientation == "in,out" and not tensor.is_bias:
        yield TRANSPOSE
    if tensor.projection != "gate_up":
        return
    axis = -1 if tensor.is_bias else -2
    if layout.order == "concatenated":
        yield take(0, width, axis=axis) if part == "gate" else take(width, 2 * width, axis=axis)
    elif layout.order == "up-first":
        yield take(width, 2 * width, axis=axis) if part == "gate" else take(0, width, axis=axis)
    elif layout.order == "interleaved":
        yield take(0 if part == "gate" else 1, 2 * width, 2, axis=axis)
    else:
        raise UnknownLayout(f"the order of gate and up in row {layout.row} is {layout.order!r}")


def _check_exact(checkpoint: Checkpoint, moves: Sequence[Move], shares: Mapping[str, int]) -> None:
    by_output: dict[str, Move] = {}
    for move in moves:
        if move.output in by_output:
            raise IncompleteCover(
                f"{move.output!r} would be made twice, from {by_output[move.output].sources[0]!r} "
                f"and {move.sources[0]!r}"
            )
        by_output[move.output] = move
        shape = _made_shape(checkpoint, move)
        if shape != move.shape:
            raise IncompleteCover(
                f"{move.sources[0]!r} gives {list(shape)}, mlx-lm's {move.output!r} needs {list(move.shape)}",
                where=move.output,
                hint="config.json and the weights do not belong together",
            )
    _check_used(checkpoint, moves, shares)


def _left_over(
    unplaced: Sequence[str], moves: Sequence[Move], wanted: Mapping[str, Parameter], family: Family
) -> IncompleteCover:
    """Return the error that names every source tensor without a place and every parameter without a source."""
    made = {move.output: move.sources for move in moves}
    missing = [name for name in wanted if name not in made]
    sources = source_names(missing, made, family)
    told, hints = [], []
    if unplaced:
        one = len(unplaced) == 1
        told.append(
            f"source tensor{'' if one else 's'} {some_of(unplaced)} "
            f"{'has' if one else 'have'} no place in mlx-lm's model"
        )
        hints.append("a tensor that would be lost is never dropped silently; a catalogue row must say what it is")
    if missing:
        spelled = f", in the source's names {some_of(sources)}" if sources and sources != missing else ""
        told.append(f"nothing in the source makes {some_of(missing)}{spelled}")
        hints.append("a tensor is missing from the checkpoint, or config.json describes another model")
    return IncompleteCover(
        "; ".join(told),
        where=[*unplaced, *missing][0],
        hint="; ".join(hints),
        names={"without_a_place": unplaced, "missing": missing, "missing_in_the_source": sources},
    )


def _check_used(checkpoint: Checkpoint, moves: Sequence[Move], shares: Mapping[str, int]) -> None:
    """Raise IncompleteCover unless the moves together use every element of their sources."""
    used: dict[str, int] = defaultdict(int)
    for move in moves:
        for name in move.sources if not move.is_copy else ():
            used[name] += math.prod(move.shape) // len(move.sources)
    zeros = resolution.zero_experts(checkpoint.config)
    for name, count in used.items():
        source = checkpoint.tensors[name]
        # Zero experts stand behind the real ones and compute nothing: what is stacked for them is never read.
        idle = zeros * (source.elements // source.shape[0]) if zeros and expert_layouts.read_name(name) else 0
        if count * shares[name] not in {source.elements, source.elements - idle}:
            raise IncompleteCover(
                f"{count} of the {source.elements} elements of {name!r} would be used",
                where=name,
                hint="a part of a tensor that would be lost, or used twice, is never passed over",
            )


def _made_shape(checkpoint: Checkpoint, move: Move) -> tuple[int, ...]:
    """Return the shape that a move makes; where it regroups an axis, the wanted shape of as many elements."""
    try:
        shape = move.made_shape(checkpoint.tensors[move.sources[0]].shape)
    except (IndexError, ValueError):
        return checkpoint.tensors[move.sources[0]].shape
    regrouped = move.groups is not None or len(shape) == len(move.shape) + 1
    return move.shape if regrouped and math.prod(shape) == math.prod(move.shape) else shape


def _variant(
    recipe: Variant,
    checkpoint: Checkpoint,
    moves: Sequence[Move],
    parameters: Sequence[Parameter],
    *,
    text_only: bool,
) -> PlannedVariant:
    by_name = {parameter.name: parameter for parameter in parameters}
    main_dtype = _main_dtype(checkpoint)
    encodings = {}
    unquantized = []
    for move in moves:
        if move.role == ROLE:  # kept as it is, whatever the variant
            encodings[move.output] = Encoding(mode="none", dtype=checkpoint.tensors[move.sources[0]].dtype)
            continue
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
        recipe=recipe.to_json() | ({"text_only": True} if text_only else {}),
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
