"""Move, Step, Packed: where the elements of one runtime parameter come from, as pure data.

They never read, convert or judge anything.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["transpose", "channels_last", "take", "add", "shift", "scale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rearrangement of units [n, ..., rows, columns].

    "transpose" swaps the last two axes. "channels_last" moves the first axis of every unit behind all others, as
    MLX keeps convolutions. "take" keeps start:stop:step of `axis` (-1 or -2). "add" adds `value`
    in float32. "shift" adds to a whole vector the smallest power of two that leaves no element negative
    (nothing where none is): routers that mask with 0 then choose as those that mask with minus infinity. "scale"
    multiplies start:stop of `axis` by `value`, a power of two, which changes no digit.
    """

    kind: Kind
    axis: int = -2
    start: int = 0
    stop: int = 0
    step: int = 1
    value: float = 0.0

    @property
    def is_arithmetic(self) -> bool:
        """Say whether the step changes values (in float32) and not only places."""
        return self.kind in {"add", "shift", "scale"}

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that the step makes of `shape`; raises IndexError where it does not fit."""
        if self.kind == "transpose":
            *lead, rows, columns = shape
            return (*lead, columns, rows)
        if self.kind == "channels_last":
            units, channels, *rest = shape
            return (units, *rest, channels)
        if self.kind == "take":
            if self.stop > shape[self.axis]:
                raise IndexError(f"{self.stop} is beyond axis {self.axis} of {list(shape)}")
            taken = list(shape)
            taken[self.axis] = len(range(self.start, self.stop, self.step))
            return tuple(taken)
        return shape


TRANSPOSE = Step(kind="transpose")
CHANNELS_LAST = Step(kind="channels_last")


def take(start: int, stop: int, step: int = 1, *, axis: int = -2) -> Step:
    """Return the step that keeps start:stop:step of an axis."""
    return Step(kind="take", axis=axis, start=start, stop=stop, step=step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One parameter of the runtime's model and where its elements come from.

    `sources` holds one tensor, or with `stacked` several of one shape: one per expert in expert order, or what
    stands one below the other. A unit is one source of a stack, else one step along the first axis of the source;
    `groups` first splits that axis into so many units. Of the units those of `units` [first, stop) are used,
    `view` is applied to each, and together they are the parameter, reshaped to `shape` (logical, before
    quantization) without changing their order.
    `is_copy` marks the one exception from "each source element once": a tied embedding that is written a second
    time, as the output layer of a class that keeps one of its own.
    """

    output: str
    shape: tuple[int, ...]
    role: str
    sources: tuple[str, ...]
    stacked: bool
    quantizable: bool
    groups: int | None = None
    units: tuple[int, int] | None = None
    view: tuple[Step, ...] = ()
    is_copy: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Move":
        """Rebuild a move from `dataclasses.asdict`'s data."""
        return cls(
            **{
                **data,
                "shape": tuple(data["shape"]),
                "sources": tuple(data["sources"]),
                "units": tuple(data["units"]) if data["units"] is not None else None,
                "view": tuple(Step(**step) for step in data["view"]),
            }
        )

    @property
    def is_arithmetic(self) -> bool:
        """Say whether the move changes values and not only places."""
        return any(step.is_arithmetic for step in self.view)

    def unit_shape(self, source: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """Return (units, shape of one) for a source tensor of shape `source`, before `view`."""
        if self.stacked:
            count, unit = len(self.sources), source
        elif self.groups is not None:
            lead, *rest = source
            count, unit = self.groups, (lead // self.groups, *rest)
        else:
            lead, *rest = source or (1,)
            count, unit = lead, tuple(rest)
        first, stop = self.units or (0, count)
        return stop - first, unit

    def made_shape(self, source: tuple[int, ...]) -> tuple[int, ...]:
        """Return [units, ...] as `view` makes it of a source of shape `source`.

        Raises IndexError where a step does not fit.
        """
        count, unit = self.unit_shape(source)
        shape = (count, *unit)
        for step in self.view:
            shape = step.shape_of(shape)
        return shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One stored tensor of a packed one: each of its rows covers `rows` logical rows (0: all of them)."""

    tensor: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A tensor that is stored as several: codes and scales.

    `shape` is logical, [..., rows, columns] as stored: with `transposed` (matrices only) the checkpoint's own
    [out, in] is its transpose. `packing` is a row of the catalogue; `columns` says how many columns share a scale
    (0: all). Integer codes have `bits` and stand for (code - zero point) * scale: `zero` is that zero point, or
    what is added to the stored ones.
    """

    name: str
    packing: str
    shape: tuple[int, ...]
    parts: Mapping[str, Part]
    columns: int = 0
    rows: int = 1
    transposed: bool = False
    bits: int = 0
    zero: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` takes back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Packed":
        """Rebuild from `to_json`'s data."""
        parts = {role: Part(**part) for role, part in data["parts"].items()}
        return cls(**{**data, "shape": tuple(data["shape"]), "parts": parts})
