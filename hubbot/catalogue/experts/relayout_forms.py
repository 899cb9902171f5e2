"""The forms that relayout rewrites experts between: orientation, gate/up order, and where each matrix lives.

Names are those of the layout catalogue. Which order of gate and up a model type uses is knowledge of its family,
never inferred from shapes. It never reads weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hubbot.catalogue.experts.expert_layouts import BIAS, BY_KEY, LayoutRow, spelled
from hubbot.catalogue.families.row import Naming
from hubbot.errors import AmbiguousLayout, WrongUsage

# Forms that checkpoints of some model types have and that no runtime wants of others.
OF_SOME = frozenset({"per_expert_up_first", "mlx_switch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one matrix lives: `rows` (start, stop, step) of expert `expert` (None: of the whole) of `tensor`.

    `transposed` says that the tensor holds [in, out], so that the rows are its columns.
    """

    tensor: str
    expert: int | None
    rows: tuple[int, int, int]
    transposed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way to keep experts: `parts` maps a projection, fused pair or bias to its name below the block.

    "{e}" stands for the expert's number where each has a tensor of its own. `order` says how gate and up share
    a tensor: "concatenated" or "interleaved", gate first, or "up-first"; None where they do not.
    """

    parts: Mapping[str, str]
    transposed: bool
    order: str | None

    def place(self, home: str, projection: str, expert: int, width: int) -> Place:
        """Return where `projection` of `expert` lives under `home`; it has `width` output rows."""
        part, rows = self.parts.get(projection), (0, width, 1)
        if part is None:
            part, rows = self.parts[pair_of(projection)], self._rows(projection, width)
        return Place(
            tensor=f"{home}.{part.replace('{e}', str(expert))}",
            expert=None if "{e}" in part else expert,
            rows=rows,
            transposed=self.transposed and not projection.endswith(BIAS),
        )

    def _rows(self, projection: str, width: int) -> tuple[int, int, int]:
        is_gate = projection.startswith("gate")
        if self.order == "interleaved":
            return (0 if is_gate else 1, 2 * width, 2)
        is_first = is_gate != (self.order == "up-first")
        return (0, width, 1) if is_first else (width, 2 * width, 1)


def pair_of(projection: str) -> str:
    """Return the fused pair that a projection belongs to: "up" -> "gate_up", "gate_bias" -> "gate_up_bias"."""
    return "gate_up" + (BIAS if projection.endswith(BIAS) else "")


def halves(projection: str) -> tuple[str, ...]:
    """Return the projections that one tensor holds: "gate_up" -> gate and up, any other itself."""
    if not projection.startswith("gate_up"):
        return (projection,)
    bias = projection.removeprefix("gate_up")
    return ("gate" + bias, "up" + bias)


def target(key: str, naming: Naming | None, projections: frozenset[str]) -> Form:
    """Return the form of row `key` for layers with `projections` (gate, up, down, and biases where there are).

    Raises AmbiguousLayout where nothing proves how the model type fuses gate and up, WrongUsage where there is
    nothing to fuse and which way round it is could not be told afterwards, and where no checkpoint of the model
    type has a form that only some have.
    """
    if key in OF_SOME:
        return _of_some(key, naming, projections)
    if key == "per_expert":
        return _form(BY_KEY[naming.row if naming and naming.row else key], projections)
    row = BY_KEY[key]
    if "gate" in projections:
        order = proven(naming.order if naming else None, row.parts["gate_up"]) if row.is_fused else None
        return _form(row, projections, order=order)
    if row.orientation == "in,out":
        raise WrongUsage(
            "experts without a gate have no pair to transpose", hint="stacked-fused and stacked are one for them"
        )
    return _form(BY_KEY["stacked_gateless"], projections)


def _of_some(key: str, naming: Naming | None, projections: frozenset[str]) -> Form:
    if naming is None or key not in naming.orders or "gate" not in projections:
        raise WrongUsage(
            f"no checkpoint of this model type is {spelled(key)}", hint="the other forms are there for all"
        )
    return _form(BY_KEY[key], projections, order=naming.orders[key])


def _form(row: LayoutRow, projections: frozenset[str], *, order: str | None = None) -> Form:
    parts = {key: part for key, part in row.all_parts.items() if projections >= set(halves(key))}
    return Form(parts=parts, transposed=row.orientation == "in,out", order=order)


def proven(order: str | None, part: str) -> str:
    """Return the order of gate and up in a tensor called `part`, or raise AmbiguousLayout where none is known."""
    if order is None:
        raise AmbiguousLayout(
            f"nothing proves how gate and up share {part!r} in this model type",
            hint="per-expert and stacked keep them apart; a row in catalogue/families decides it",
        )
    return order


def has_hub_names(key: str, naming: Naming | None) -> bool:
    """Say whether form `key` is that of the family's own checkpoints, and not of transformers' modules."""
    if key in OF_SOME:
        return True
    # Granite's checkpoints are stacked: as single experts its modules' names are all there is.
    return key == "per_expert" and (naming is None or naming.row is not None)
