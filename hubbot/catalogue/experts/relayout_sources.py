"""The expert layers of a checkpoint that relayout rewrites: in which form, how many experts, how large.

What is missing or odd is named by layer and expert, as convert names it. It guesses no order and reads no weights.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hubbot.catalogue import packings, resolution
from hubbot.catalogue.experts import relayout_forms
from hubbot.catalogue.experts.completeness import Experts, check_complete, expert_count
from hubbot.catalogue.experts.expert_layouts import (
    BIAS,
    BY_KEY,
    ExpertTensor,
    LayoutRow,
    read_names,
    row_of,
)
from hubbot.catalogue.experts.orientation import Geometry, Shape, shapes_of
from hubbot.catalogue.experts.relayout_forms import Form, halves
from hubbot.catalogue.experts.transformers_names import naming_of, order_in
from hubbot.catalogue.families import family_of
from hubbot.catalogue.variants.roles import role_of
from hubbot.checkpoints import Checkpoint
from hubbot.errors import (
    AmbiguousLayout,
    IncompleteCover,
    NotMixtureOfExperts,
    UnknownLayout,
    UnknownPacking,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertLayer:
    """The experts of one layer: `shapes` are one matrix's [out, in] (a bias: [out]) by projection, in `form`."""

    prefix: str
    number: int
    block: str
    experts: int
    form: Form
    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, str]

    @property
    def home(self) -> str:
        """Return what stands before the form's names: the layer and its block, if it has one."""
        return f"{self.prefix}.{self.block}".removesuffix(".")


def expert_layers(checkpoint: Checkpoint) -> dict[str, ExpertLayer]:
    """Return the layers with experts by prefix.

    Raises the verdicts of errors.py, naming the layer and expert that do not fit.
    """
    known = _known(checkpoint)
    _refuse_zero_experts(checkpoint)
    stacks: dict[str, list[ExpertTensor]] = defaultdict(list)
    for tensor in known:
        stacks[tensor.prefix.rpartition(".")[0]].append(tensor)
    _check_routers(checkpoint, {tensor.prefix for tensor in known})
    # What the config says of the width is said of the decoder; beside it a tower may hold experts of its own.
    hidden = resolution.expert_input_size(checkpoint.config) if len(stacks) == 1 else None
    return {
        layer.prefix: layer for stack in stacks.values() for layer in _expert_layers(checkpoint, stack, hidden)
    }


def _known(checkpoint: Checkpoint) -> Sequence[ExpertTensor]:
    known, alike = read_names(checkpoint.tensors)
    # Relayout takes over what is beside the experts as it is, routers too, however they are called.
    unknown = [checkpoint.tensors[name] for name in alike if role_of(name) != "router" and ".router." not in name]
    if unknown:
        packed = packings.signs(unknown)
        first = unknown[0]
        if packed:
            raise UnknownPacking(
                f"the experts are packed: {next(iter(packed.values()))}",
                where=next(iter(packed)),
                hint="convert unpacks them; relayout moves plain weights only",
            )
        raise UnknownLayout(
            f"no row of the catalogue knows {first.name!r} {list(first.shape)} {first.dtype}",
            where=checkpoint.repo.id,
        )
    if not known:
        raise NotMixtureOfExperts("no tensor name speaks of experts", where=checkpoint.repo.id)
    return known


def _refuse_zero_experts(checkpoint: Checkpoint) -> None:
    if resolution.zero_experts(checkpoint.config):
        raise AmbiguousLayout(
            "the config counts zero experts, for which transformers stacks weights that checkpoints do not hold",
            where=f"{checkpoint.repo.id}, config.json",
            hint="relayout moves what is there and makes no weights up",
        )


def _check_routers(checkpoint: Checkpoint, layers: Iterable[str]) -> None:
    starts = tuple(f"{prefix}." for prefix in layers)
    for name in checkpoint.tensors:
        if role_of(name) == "router" and not name.startswith(starts):
            raise IncompleteCover("the layer has a router, but no experts", where=name)


def _expert_layers(
    checkpoint: Checkpoint, stack: Sequence[ExpertTensor], hidden: int | None
) -> Iterator[ExpertLayer]:
    """Yield the layers of one stack, whose experts are all in one form."""
    experts = Experts(row=_row(checkpoint, stack), tensors=stack)
    count = expert_count(checkpoint, experts)
    check_complete(experts, count)
    geometry = shapes_of(checkpoint, experts, hidden)
    present = {tensor.projection + BIAS * tensor.is_bias for tensor in stack}
    form = Form(
        parts={key: part for key, part in experts.row.all_parts.items() if key in present},
        transposed=geometry.orientation == "in,out",
        order=_order(checkpoint, experts.row),
    )
    shapes = _shapes(geometry, present)
    dtypes = {half: dtype for key, dtype in geometry.dtypes.items() for half in halves(key)}
    for prefix, tensor in _firsts(stack).items():
        yield ExpertLayer(
            prefix=prefix,
            number=tensor.layer,
            block=tensor.block,
            experts=count,
            form=form,
            shapes=shapes,
            dtypes=dtypes,
        )


def _row(checkpoint: Checkpoint, stack: Sequence[ExpertTensor]) -> LayoutRow:
    row = row_of(stack)
    if row.of_mlx and not has_source_names(checkpoint):
        raise AmbiguousLayout(
            "the checkpoint is in MLX's own form, whose other tensors may be folded or renamed",
            where=stack[0].name,
            hint="relayout the checkpoint that it was made from",
        )
    if row.stacking == "flat":
        raise UnknownLayout(
            "relayout does not take experts apart that lie one below the other in one matrix",
            where=stack[0].name,
            hint="convert does",
        )
    naming = naming_of(checkpoint.model_type)
    has_gate = row.is_fused or "gate" in row.parts
    if not has_gate and row.same_names_as and (naming is None or naming.is_gated):
        return BY_KEY[row.same_names_as]  # the gates are missing, and are named as such
    return row


def has_source_names(checkpoint: Checkpoint) -> bool:
    """Say whether the tensors beside the experts have the names of the source and not those of MLX.

    Only names that MLX spells otherwise prove it: HunYuan's router `gate.wg`.
    """
    family = family_of(checkpoint)
    patterns = [re.compile(pattern) for pattern, _ in family.renames] if family else []
    return any(pattern.search(name) for pattern in patterns for name in checkpoint.tensors)


def _order(checkpoint: Checkpoint, row: LayoutRow) -> str | None:
    if not row.is_fused:
        return None
    return relayout_forms.proven(order_in(checkpoint.model_type, row.parts["gate_up"]), row.parts["gate_up"])


def _shapes(geometry: Geometry, present: Iterable[str]) -> dict[str, Shape]:
    down = (geometry.hidden, geometry.width)
    whole = {half: down if half.startswith("down") else down[::-1] for key in present for half in halves(key)}
    return {half: shape[:1] if half.endswith(BIAS) else shape for half, shape in whole.items()}


def _firsts(stack: Sequence[ExpertTensor]) -> dict[str, ExpertTensor]:
    """Return one tensor of each layer by prefix, or raise where a layer has two blocks of experts."""
    firsts: dict[str, ExpertTensor] = {}
    for tensor in stack:
        first = firsts.setdefault(tensor.prefix, tensor)
        if tensor.block != first.block:
            raise AmbiguousLayout(
                f"layer {tensor.layer} holds its experts in two blocks", where=f"{tensor.name}, {first.name}"
            )
    return firsts
