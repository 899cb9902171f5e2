"""Name the expert layout of a checkpoint from names, shapes and config, with evidence, or refuse precisely.

Orientation is decided once per model from gate_up and down together; the order of gate and up comes from the
catalogue's provenance for the model type, never from shapes. It never guesses.
"""

from hubbot.catalogue import dialects, layouts, packings, runtimes
from hubbot.catalogue.experts import Experts, check_complete, check_layers, expert_count, orientation_of
from hubbot.catalogue.families import BY_MODEL_TYPE, Family, Provenance
from hubbot.catalogue.layouts import LayoutRow
from hubbot.checkpoints import Checkpoint
from hubbot.errors import (
    AmbiguousLayout,
    ConfigUnresolved,
    NoRuntime,
    NotMixtureOfExperts,
    UnknownLayout,
    UnknownPacking,
)
from hubbot.plans import Layout


def classify(checkpoint: Checkpoint) -> Layout:
    """Return the layout of `checkpoint`, or raise one of the verdicts of errors.py naming what is in the way."""
    experts = _experts(checkpoint)
    _refuse_packed(checkpoint)
    family, provenance = _family(checkpoint, experts.row)
    count = expert_count(checkpoint, experts)
    check_complete(experts, count)
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None, "the family's runtime was looked up before"
    resolution = dialects.resolve(checkpoint.config, family, fields)
    if resolution.problems:
        raise ConfigUnresolved(
            "; ".join(resolution.problems),
            where=f"{checkpoint.repo.id}, config.json",
            hint="either config.json is wrong, or mlx-lm's class has to learn this first",
        )
    orientation, width = orientation_of(checkpoint, experts)
    layers = dialects.layer_count(checkpoint.config) or 0
    check_layers(checkpoint, layers)
    return Layout(
        row=experts.row.key,
        naming=experts.row.naming,
        stacking=experts.row.stacking,
        order=provenance.order,
        orientation=orientation,
        packing=packings.UNPACKED,
        num_experts=count,
        experts_per_token=dialects.experts_per_token(checkpoint.config),
        moe_layers=experts.layers,
        layers=layers,
        evidence=(*_evidence(checkpoint, experts, count, width, provenance), *resolution.notes),
    )


def _experts(checkpoint: Checkpoint) -> Experts:
    known, unknown = layouts.read_names(checkpoint.tensors)
    declared = dialects.expert_count(checkpoint.config)
    if not known and not unknown:
        if declared is None or declared[1] <= 1:
            raise NotMixtureOfExperts(
                f"{checkpoint.model_type or 'the model'} is dense: neither tensors nor config speak of experts",
                where=checkpoint.repo.id,
            )
        raise UnknownLayout(
            f"the config says {declared[0]} = {declared[1]}, but no tensor name speaks of experts",
            where=checkpoint.repo.id,
            hint="a new naming; `hubbot inspect` lists the names, a row in catalogue/layouts.py teaches it",
        )
    if unknown:
        first = checkpoint.tensors[unknown[0]]
        raise UnknownLayout(
            f"no row of the catalogue knows {first.name!r} {list(first.shape)} {first.dtype}"
            + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""),
            where=checkpoint.repo.id,
            hint="a new naming; a row in catalogue/layouts.py and a reference teach it",
        )
    rows = {tensor.row.key: tensor.row for tensor in known}
    if len(rows) > 1:
        names = ", ".join(f"{row.key} ({row.naming})" for row in rows.values())
        raise AmbiguousLayout(f"experts are stored in several layouts at once: {names}", where=checkpoint.repo.id)
    return Experts(row=known[0].row, tensors=known)


def _refuse_packed(checkpoint: Checkpoint) -> None:
    signs = packings.signs(checkpoint.tensors.values())
    method = packings.quant_method(checkpoint.config)
    if not signs and method is None:
        return
    tensor, reason = next(iter(signs.items()), ("config.json", f"quant_method {method}"))
    raise UnknownPacking(
        f"the weights are packed: {reason}" + (f", declared as {method}" if method and signs else ""),
        where=f"{checkpoint.repo.id}, {tensor}",
        hint="this version converts float32, float16 and bfloat16 sources only",
    )


def refuse_extension(checkpoint: Checkpoint) -> None:
    """Raise NoRuntime where only a model file of hubbot's own runs `checkpoint`: for those who want none."""
    family = BY_MODEL_TYPE.get(checkpoint.model_type)
    if family is not None and family.extension is not None:
        raise NoRuntime(
            f"{checkpoint.model_type} runs only with hubbot's own model file {family.extension.file}: "
            + family.extension.reason,
            where=checkpoint.repo.id,
            hint="extensions are off: leave out --no-extensions, or set `extensions` to true",
        )


def _family(checkpoint: Checkpoint, row: LayoutRow) -> tuple[Family, Provenance]:
    model_type = checkpoint.model_type
    family = BY_MODEL_TYPE.get(model_type)
    if family is None:
        if model_type and runtimes.fields(model_type) is None:
            raise NoRuntime(
                f"layout {row.key} ({row.naming}) is known, but mlx-lm {runtimes.version()} has no class "
                f"for model type {model_type}",
                where=checkpoint.repo.id,
                hint="tried again by itself when a new mlx-lm is installed",
            )
        raise AmbiguousLayout(
            f"layout {row.key} ({row.naming}) is known, but nothing proves its meaning for "
            f"model type {model_type or '(none)'}",
            where=checkpoint.repo.id,
            hint="a row in catalogue/families with a committed transformers reference decides it",
        )
    if runtimes.fields(family.runtime, family.model_file) is None:
        raise NoRuntime(f"mlx-lm {runtimes.version()} has no class {family.runtime}", where=checkpoint.repo.id)
    provenance = family.layouts.get(row.key)
    if provenance is None:
        raise AmbiguousLayout(
            f"layout {row.key} ({row.naming}) is known, but not listed for model type {model_type}",
            where=checkpoint.repo.id,
            hint="a provenance in catalogue/families with a committed transformers reference decides it",
        )
    wrong = sorted({tensor.block for tensor in layouts.read_names(checkpoint.tensors)[0]} - set(family.blocks))
    if wrong:
        raise UnknownLayout(
            f"experts of {model_type} are not expected under {wrong[0]!r}", where=checkpoint.repo.id
        )
    return family, provenance


def _evidence(
    checkpoint: Checkpoint, experts: Experts, count: int, width: int, provenance: Provenance
) -> tuple[str, ...]:
    example = experts.tensors[0]
    info = checkpoint.tensors[example.name]
    declared = dialects.expert_count(checkpoint.config)
    lines = [
        f"{len(experts.tensors)} tensors match row {experts.row.key} ({experts.row.naming}) in whole, no other "
        + f"looks like an expert; e.g. {example.name} {list(info.shape)} {info.dtype}",
        f"{count} experts in each of {len(experts.layers)} layers, as {declared[0] if declared else '?'} says",
        f"hidden {checkpoint.config.get('hidden_size')}, expert width {width}: "
        + "all projections fit as [out, in] and, taken together, not as [in, out]",
        f"model type {checkpoint.model_type} with row {experts.row.key}: {provenance.source}",
    ]
    if provenance.order:
        lines.append(
            f"gate and up are {provenance.order}, gate first; known from the source cited, not from shapes"
        )
    return tuple(lines)
