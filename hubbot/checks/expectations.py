"""What every parameter of an artifact ought to hold, read from the source by the catalogue's rows with numpy.

It knows nothing of plans or moves: from the same rows it works out its own way from parameter to source.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hubbot.catalogue import layouts
from hubbot.catalogue.families import Family
from hubbot.catalogue.layouts import ExpertTensor
from hubbot.catalogue.tensors import drop_reason, runtime_name
from hubbot.checkpoints import Checkpoint
from hubbot.checks.tensorfiles import Floats, TensorFiles

_EXPERT = re.compile(
    r"(?P<prefix>.*layers\.(?P<layer>\d+))\.\w+\.(?:switch_mlp|experts)\.(?P<projection>gate|up|down)_proj\.weight"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertPlace:
    """Which experts' projection a parameter [experts, out, in] holds."""

    prefix: str
    projection: str


class Expectations:
    """The source of one artifact, asked by the runtime's parameter names."""

    def __init__(self, folder: Path, checkpoint: Checkpoint, family: Family, config: Mapping[str, object]) -> None:
        self._files = TensorFiles(folder, checkpoint.shards)
        known, _ = layouts.read_names(checkpoint.tensors)
        self._experts = {(t.prefix, t.projection, t.expert): t for t in known}
        self._row = known[0].row
        self._order = family.layouts[self._row.key].order
        self.dropped = {
            name: reason
            for name in checkpoint.tensors
            if (reason := drop_reason(name, config)) and layouts.read_name(name) is None
        }
        self._plain = {
            runtime_name(name, family): name
            for name in checkpoint.tensors
            if layouts.read_name(name) is None and name not in self.dropped
        }

    def place(self, parameter: str) -> ExpertPlace | None:
        """Return which experts a parameter holds, or None where it holds none."""
        found = _EXPERT.fullmatch(parameter)
        return ExpertPlace(prefix=found["prefix"], projection=found["projection"]) if found else None

    def source_name(self, parameter: str) -> str | None:
        """Return the source tensor of a parameter that holds no experts, or None where there is none."""
        return self._plain.get(parameter)

    def source_dtype(self, parameter: str) -> str | None:
        """Return the dtype on disk of what makes a parameter, or None where nothing does."""
        place = self.place(parameter)
        if place is None:
            name = self._plain.get(parameter)
        else:
            tensor = self._tensor(place, 0)
            name = tensor.name if tensor else None
        return self._files.tensors[name].dtype if name else None

    def unused(self, parameters: set[str]) -> list[str]:
        """Return the source tensors that none of `parameters` holds and no rule drops."""
        places = [place for p in parameters if (place := self.place(p))]
        held = {(place.prefix, self._projection(place)) for place in places}
        lost = [t.name for t in self._experts.values() if (t.prefix, t.projection) not in held]
        return lost + [source for parameter, source in self._plain.items() if parameter not in parameters]

    def rows(self, parameter: str, start: int, stop: int) -> Floats:
        """Return rows [start, stop) of a plain parameter's first axis as float32."""
        return self._files.floats(self._plain[parameter], start, stop)

    def expert(self, place: ExpertPlace, expert: int) -> Floats:
        """Return one expert's projection [out, in] as float32."""
        tensor = self._tensor(place, expert)
        assert tensor is not None, f"{place} has no source"
        if tensor.expert is not None:
            return self._files.floats(tensor.name, 0, self._files.tensors[tensor.name].shape[0])
        whole: Floats = self._files.floats(tensor.name, expert, expert + 1)[0]
        if tensor.projection != "gate_up":
            return whole
        return self._half(whole, place.projection)

    def experts_at(self, place: ExpertPlace) -> int:
        """Return how many experts the source holds at a place."""
        tensor = self._tensor(place, 0)
        if tensor is None:
            return 0
        if tensor.expert is None:
            return self._files.tensors[tensor.name].shape[0]
        return sum(
            1
            for prefix, projection, _ in self._experts
            if (prefix, projection) == (place.prefix, place.projection)
        )

    def _half(self, fused: Floats, projection: str) -> Floats:
        width = fused.shape[0] // 2
        if self._order == "interleaved":
            return np.ascontiguousarray(fused[(0 if projection == "gate" else 1) :: 2])
        return fused[:width] if projection == "gate" else fused[width:]

    def _tensor(self, place: ExpertPlace, expert: int) -> ExpertTensor | None:
        stacked = self._row.stacking == "stacked"
        return self._experts.get((place.prefix, self._projection(place), None if stacked else expert))

    def _projection(self, place: ExpertPlace) -> str:
        return "gate_up" if self._row.is_fused and place.projection in {"gate", "up"} else place.projection
