"""Name the expert layout of a checkpoint from names, shapes and config, with evidence, or refuse precisely.

Orientation is decided once per model from gate_up and down together; the order of gate and up comes from the
catalogue's provenance for the model type, never from shapes. It never guesses.
"""

from hubbot.catalogue import packings, resolution, runtimes
from hubbot.catalogue.experts import expert_layouts
from hubbot.catalogue.experts.completeness import (
    Experts,
    check_complete,
    check_even,
    check_layers,
    expert_count,
)
from hubbot.catalogue.experts.expert_layouts import TARGETS, LayoutRow, spelled
from hubbot.catalogue.experts.orientation import Geometry, geometry_of
from hubbot.catalogue.families import RECOGNISED, Family, Provenance, family_of
from hubbot.catalogue.tensors import without_drops
from hubbot.checkpoints import Checkpoint
from hubbot.errors import (
    AmbiguousLayout,
    ConfigUnresolved,
    IncompleteCover,
    NoRuntime,
    NotMixtureOfExperts,
    UnknownLayout,
    UnknownPacking,
)
from hubbot.plans import Layout
from hubbot.sources import leftovers

_ORDERS = {
    "concatenated": "concatenated, gate first",
    "interleaved": "interleaved, gate first",
    "up-first": "concatenated, up first",
}


def classify(checkpoint: Checkpoint) -> Layout:
    """Return the layout of `checkpoint`.

    Raises NotMixtureOfExperts for a dense model; UnknownPacking, UnknownLayout, AmbiguousLayout or IncompleteCover
    where tensors are missing or not known; NoRuntime or ConfigUnresolved where no runtime computes the model.
    """
    leftovers.refuse_tensors(checkpoint)
    packing, checkpoint, experts = _unpacked(checkpoint)
    family = _family(checkpoint, experts.row)
    check_even(checkpoint, experts)
    count = expert_count(checkpoint, experts)
    check_complete(experts, count)
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None, "the family's runtime was looked up before"
    resolved = resolution.resolve(checkpoint.config, family, fields)
    if resolved.problems:
        raise ConfigUnresolved(
            "; ".join(resolved.problems),
            where=f"{checkpoint.repo.id}, config.json",
            hint="either config.json is wrong, or mlx-lm's class has to learn this first",
        )
    geometry = geometry_of(checkpoint, experts, resolution.expert_input_size(checkpoint.config))
    provenance = _provenance(checkpoint, family, geometry.row)
    layers = resolution.layer_count(checkpoint.config) or 0
    check_layers(checkpoint, layers)
    return Layout(
        row=geometry.row.key,
        naming=geometry.row.naming,
        stacking=geometry.row.stacking,
        order=provenance.order,
        orientation=geometry.orientation,
        packing=packing,
        num_experts=count,
        experts_per_token=resolution.experts_per_token(checkpoint.config),
        moe_layers=experts.layers,
        layers=layers,
        evidence=(
            *checkpoint.notes,
            *_evidence(checkpoint, experts, count, geometry, provenance),
            *resolved.notes,
        ),
    )


def _unpacked(checkpoint: Checkpoint) -> tuple[str, Checkpoint, Experts]:
    """Return the packing, the checkpoint of logical tensors and its experts; a dense model is refused first."""
    try:
        found = packings.unpacked(checkpoint)
    except (UnknownPacking, IncompleteCover):
        _refuse_dense(checkpoint)
        raise
    kept, _ = without_drops(found.checkpoint)
    return found.name, kept, _experts(kept)


def _refuse_dense(checkpoint: Checkpoint) -> None:
    known, unknown = expert_layouts.read_names(checkpoint.tensors)
    declared = resolution.expert_count(checkpoint.config)
    if not known and not unknown and (declared is None or declared[1] <= 1):
        raise NotMixtureOfExperts(
            f"{checkpoint.model_type or 'the model'} is dense: neither tensors nor config speak of experts",
            where=checkpoint.repo.id,
        )


def _experts(checkpoint: Checkpoint) -> Experts:
    _refuse_dense(checkpoint)
    known, unknown = expert_layouts.read_names(checkpoint.tensors)
    declared = resolution.expert_count(checkpoint.config)
    if not known and not unknown and declared is not None:
        raise UnknownLayout(
            f"the config says {declared[0]} = {declared[1]}, but no tensor name speaks of experts",
            where=checkpoint.repo.id,
            hint="a new naming; `hubbot inspect` lists the names, a row in catalogue/experts/expert_layouts.py "
            "teaches it",
        )
    if unknown:
        first = checkpoint.tensors[unknown[0]]
        raise UnknownLayout(
            f"no row of the catalogue knows {first.name!r} {list(first.shape)} {first.dtype}"
            + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""),
            where=checkpoint.repo.id,
            hint="a new naming; a row in catalogue/experts/expert_layouts.py and a reference teach it",
        )
    return Experts(row=expert_layouts.row_of(known), tensors=known)


def refuse_extension(checkpoint: Checkpoint) -> None:
    """Raise NoRuntime where only a model file of hubbot's own runs `checkpoint`; for users who want none."""
    family = family_of(checkpoint)
    if family is not None and family.extension is not None:
        raise NoRuntime(
            f"{checkpoint.model_type} runs only with hubbot's own model file {family.extension.file}: "
            + family.extension.reason,
            where=checkpoint.repo.id,
            hint="extensions are off: leave out --no-extensions, or set `extensions` to true",
        )


def _family(checkpoint: Checkpoint, row: LayoutRow) -> Family:
    model_type = checkpoint.model_type
    family = family_of(checkpoint)
    if family is None:
        entry = next((one for one in RECOGNISED if one.model_type == model_type), None)
        reason = f": {entry.reason}" if entry and entry.reason else ""
        waits = entry is None or entry.waits
        if waits and model_type and runtimes.fields(model_type) is None:
            raise NoRuntime(
                f"layout {row.key} ({row.naming}) is known, but mlx-lm {runtimes.version()} has no class "
                f"for model type {model_type}{reason}",
                where=checkpoint.repo.id,
                hint="tried again by itself when a new mlx-lm is installed",
            )
        raise AmbiguousLayout(
            f"layout {row.key} ({row.naming}) is known, but nothing proves its meaning for "
            f"model type {model_type or '(none)'}{reason}",
            where=checkpoint.repo.id,
            hint="a row in catalogue/families with a committed transformers reference decides it"
            if waits
            else "no later mlx-lm changes that",
        )
    if runtimes.fields(family.runtime, family.model_file) is None:
        raise NoRuntime(f"mlx-lm {runtimes.version()} has no class {family.runtime}", where=checkpoint.repo.id)
    wrong = sorted(
        {tensor.block for tensor in expert_layouts.read_names(checkpoint.tensors)[0]} - set(family.blocks)
    )
    if wrong:
        raise UnknownLayout(
            f"experts of {model_type} are not expected under {wrong[0]!r}", where=checkpoint.repo.id
        )
    return family


def _provenance(checkpoint: Checkpoint, family: Family, row: LayoutRow) -> Provenance:
    found = family.layouts.get(row.key)
    if found is None:
        raise AmbiguousLayout(
            f"layout {row.key} ({row.naming}) is known, but not listed for model type {checkpoint.model_type}",
            where=checkpoint.repo.id,
            hint="a provenance in catalogue/families with a committed transformers reference decides it; "
            f"`hubbot relayout --to {_taken(family)}` makes one that converts of what a trainer made",
        )
    return found


def _taken(family: Family) -> str:
    """Return the form among relayout's that a family is converted from, as its command spells it."""
    known = (key for key, row in TARGETS.items() if key in family.layouts and not row.of_mlx)
    return spelled(next(known, "per_expert"))


def _evidence(
    checkpoint: Checkpoint, experts: Experts, count: int, geometry: Geometry, provenance: Provenance
) -> tuple[str, ...]:
    example = experts.tensors[0]
    info = checkpoint.tensors[example.name]
    declared = resolution.expert_count(checkpoint.config)
    row = geometry.row
    other = "[in, out]" if geometry.orientation == "out,in" else "[out, in]"
    lines = [
        f"{len(experts.tensors)} tensors match row {row.key} ({row.naming}) in whole, no other "
        + f"looks like an expert; e.g. {example.name} {list(info.shape)} {info.dtype}",
        f"{count} experts in each of {len(experts.layers)} layers, as {declared[0] if declared else '?'} says",
        f"hidden {resolution.hidden_size(checkpoint.config)}, expert width {geometry.width}: all projections fit "
        + f"as [{geometry.orientation.replace(',', ', ')}] and, taken together, not as {other}",
        f"model type {checkpoint.model_type} with row {row.key}: {provenance.source}",
    ]
    if provenance.order:
        lines.append(f"gate and up are {_ORDERS[provenance.order]}; known from the source cited, not from shapes")
    return tuple(lines)
