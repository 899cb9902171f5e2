"""The shape of each source tensor of a twin, derived from the runtime's parameters by the catalogue's rows.

Nobody has stored tensors of a shrunken config, so their shapes must be computed. It knows no values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hubbot.catalogue.experts import expert_layouts
from hubbot.catalogue.experts.expert_layouts import ExpertTensor
from hubbot.catalogue.experts.parameter_names import parameters_of
from hubbot.catalogue.families import Family
from hubbot.catalogue.reshapes import Reshaped, reshaped
from hubbot.catalogue.tensors import is_stray_bias, runtime_name
from hubbot.errors import IncompleteCover

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedShapes:
    """The source of a model whose parameters have `shapes` by name under its resolved `config`.

    `transposed` says that experts are stored [in, out]; `idle` how many more experts than the real ones the stack
    of a projection holds, where it does.
    """

    family: Family
    config: Mapping[str, Any]
    shapes: Mapping[str, Shape]
    transposed: bool
    idle: Mapping[str, int]

    def is_stray_bias(self, name: str) -> bool:
        """Say whether source tensor `name` is a bias that no parameter of the class holds."""
        known = expert_layouts.read_name(name)
        return known is None and is_stray_bias(name, self.family, self.config, self.shapes)

    def of(self, name: str) -> Shape:
        """Return the shape of source tensor `name`, or raise IncompleteCover where no parameter holds it."""
        tensor = expert_layouts.read_name(name)
        # The family's reshapes take flat stacks apart, like any tensor beside the experts.
        if tensor is None or tensor.row.stacking == "flat":
            return self._plain(name)
        return self._expert(tensor)

    def _expert(self, tensor: ExpertTensor) -> Shape:
        (_, parameter), *other = parameters_of(tensor, self.family)
        experts, *rest = self._shape(parameter, tensor.name)
        if other:  # gate and up share the tensor
            rest[0] *= 2
        if self.transposed and not tensor.is_bias:
            rest = rest[::-1]
        return tuple(rest) if tensor.expert is not None else (experts + self.idle.get(tensor.projection, 0), *rest)

    def _plain(self, name: str) -> Shape:
        pieces = reshaped(runtime_name(name, self.family), self.family.reshapes, self.config)
        return _union([_before(piece, self._shape(piece.output, name)) for piece in pieces])

    def _shape(self, parameter: str, name: str) -> Shape:
        if parameter not in self.shapes:
            raise IncompleteCover(f"no parameter {parameter!r} of the twin holds it", where=name)
        return self.shapes[parameter]


def _before(piece: Reshaped, shape: Shape) -> Shape:
    """Return the least shape that a source must have for `piece` to make a parameter of `shape`."""
    units = list(shape)
    if piece.join is not None:
        units[0] //= piece.join[1]
    if piece.merge and piece.groups:
        held = 1 if piece.part else piece.groups
        units = [held, shape[0] // held, *shape[1:]]
    for step in reversed(piece.view):
        if step.kind == "transpose":
            units[-1], units[-2] = units[-2], units[-1]
        elif step.kind == "take":
            units[step.axis] = step.stop
    if piece.groups is not None:
        units = [units[0] * units[1], *units[2:]]
    if piece.part is not None:
        units[0] *= piece.part[1]
    return tuple(units)


def _union(shapes: Sequence[Shape]) -> Shape:
    """Return the shape that holds every one of `shapes`: pieces that together are the whole tensor."""
    return tuple(max(lengths) for lengths in zip(*shapes, strict=True))
