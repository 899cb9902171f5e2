"""What every parameter of an artifact ought to hold, read from the source by the catalogue's rows with numpy.

It knows nothing of plans or moves: from the same rows it works out its own way from parameter to source.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.catalogue import resolution
from hubbot.catalogue.experts import expert_layouts
from hubbot.catalogue.experts.completeness import Experts
from hubbot.catalogue.experts.expert_layouts import ExpertTensor
from hubbot.catalogue.experts.orientation import geometry_of
from hubbot.catalogue.experts.parameter_names import parameters_of
from hubbot.catalogue.families import Family
from hubbot.catalogue.reshapes import Reshaped, reshaped
from hubbot.catalogue.tensors import runtime_name, tower_of, without_drops
from hubbot.catalogue.towers import VISION
from hubbot.catalogue.variants.roles import role_of
from hubbot.checkpoints import Checkpoint
from hubbot.checks.decisive.source_settings import SourceSettings
from hubbot.checks.readers import reshape_rows
from hubbot.checks.readers.reused_memory import ReusedMemory
from hubbot.checks.readers.source_tensors import SourceTensors
from hubbot.checks.readers.tensor_files import Floats, widen

Array = npt.NDArray[Any]
Key = tuple[str, str, int | None, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertPlace:
    """Which experts' projection a parameter holds, [experts, out, in] or as biases [experts, out]."""

    prefix: str
    projection: str
    is_bias: bool = False


def _turned(shape: tuple[int, ...], made: Reshaped) -> tuple[int, ...]:
    """Return a tower tensor's shape with the channels [out, in, ...] last where its row says so."""
    return (shape[0], *shape[2:], shape[1]) if made.view else shape


class Expectations:
    """The source of one artifact, asked by the runtime's parameter names.

    `tower` holds the shape of each tensor of a tower that the artifact's config says it has, by mlx-vlm's name.
    """

    def __init__(self, folder: Path, checkpoint: Checkpoint, family: Family, config: Mapping[str, Any]) -> None:
        self._sources = SourceTensors(folder, checkpoint)
        logical, dropped = without_drops(replace(checkpoint, tensors=self._sources.infos), family)
        infos = logical.tensors
        known, _ = expert_layouts.read_names(infos)
        row = expert_layouts.row_of(known)
        width = resolution.expert_input_size(checkpoint.config)
        geometry = geometry_of(logical, Experts(row=row, tensors=known), width)
        self._stacked = row.stacking == "stacked"
        self._is_fused = row.is_fused
        self._transposed = geometry.orientation == "in,out"
        self._order = family.layouts[geometry.row.key].order
        placed = [tensor for tensor in known if not tensor.is_flat]
        self._experts: dict[Key, ExpertTensor] = {(t.prefix, t.projection, t.expert, t.is_bias): t for t in placed}
        self._places = {
            parameter: ExpertPlace(prefix=tensor.prefix, projection=projection, is_bias=tensor.is_bias)
            for tensor in placed
            for projection, parameter in parameters_of(tensor, family)
        }
        declared = resolution.expert_count(checkpoint.config)
        self._declared, self._zeros = declared and declared[1], resolution.zero_experts(checkpoint.config)
        tower = tower_of(
            replace(checkpoint, tensors=self._sources.infos),
            self._sources.packed,
            family,
            text_only=VISION not in config,
        )
        kept = tower.parts
        left = {name: tower.left_out.get(name, why) for name, why in dropped.items() if name not in kept}
        self.dropped = {**self._sources.dropped, **left}
        self.tower = {made.output: _turned(self._sources.shape(name), made) for name, made in kept.items()}
        plain = [
            (name, made)
            for name in infos
            if (found := expert_layouts.read_name(name)) is None or found.is_flat
            for made in reshaped(runtime_name(name, family), family.reshapes, config)
        ] + list(kept.items())
        self._plain: dict[str, tuple[str, Reshaped]] = {made.output: (name, made) for name, made in plain}
        self._plain |= {made.output: (name, made) for name, made in kept.items()}
        # What several tensors make together, one below the other, in the order in which they stand.
        joined = sorted(((made.join, name, made) for name, made in plain if made.join), key=lambda one: one[:2])
        self._joined: dict[str, list[tuple[str, Reshaped]]] = defaultdict(list)
        for _, name, made in joined:
            self._joined[made.output].append((name, made))
        self._embedding = self._tied_embedding(checkpoint.config)

    def _tied_embedding(self, config: Mapping[str, Any]) -> tuple[str, Reshaped] | None:
        """Return the embedding's source where the source's config says that the output layer is the same."""
        settings = SourceSettings(config)
        told = settings.said("tie_word_embeddings") or settings.default("tie_word_embeddings")
        found = [made for parameter, made in self._plain.items() if role_of(parameter) == "embedding"]
        return found[0] if told is not None and told.value is True and len(found) == 1 else None

    def _source(self, parameter: str) -> tuple[str, Reshaped] | None:
        """Return what makes a plain parameter: its own tensor, or of a tied output layer the embedding's."""
        found = self._plain.get(parameter)
        return self._embedding if found is None and role_of(parameter) == "lm_head" else found

    def _made(self, parameter: str) -> tuple[str, Reshaped]:
        found = self._source(parameter)
        if found is None:
            raise KeyError(parameter)
        return found

    def copied(self, parameters: Collection[str]) -> str | None:
        """Return the embedding's tensor where one of `parameters` is a tied output layer that the class keeps."""
        heads = [name for name in parameters if role_of(name) == "lm_head" and name not in self._plain]
        return self._embedding[0] if heads and self._embedding else None

    def place(self, parameter: str) -> ExpertPlace | None:
        """Return which experts a parameter holds, or None where it holds none."""
        return self._places.get(parameter)

    def source_name(self, parameter: str) -> str | None:
        """Return the source tensor of a parameter that holds no experts, or None where there is none."""
        found = self._source(parameter)
        return found[0] if found else None

    def source_dtype(self, parameter: str) -> str | None:
        """Return the dtype on disk of what makes a parameter, or None where nothing does."""
        place = self.place(parameter)
        if place is None:
            name = self.source_name(parameter)
        else:
            tensor = self._tensor(place, 0)
            name = tensor.name if tensor else None
        return self._sources.dtype(name) if name else None

    def fold(self, parameter: str) -> str | None:
        """Return why a parameter's values are not the source's own, or None where they are."""
        found = self._source(parameter)
        folded = found is not None and any(step.is_arithmetic for step in found[1].view)
        return found[1].reason if found and folded else None

    def unused(self, parameters: set[str]) -> list[str]:
        """Return the source tensors that none of `parameters` holds and no rule drops."""
        places = [place for p in parameters if (place := self.place(p))]
        held = {(place.prefix, self._projection(place), place.is_bias) for place in places}
        lost = [t.name for t in self._experts.values() if (t.prefix, t.projection, t.is_bias) not in held]
        made = {**{parameter: [one] for parameter, one in self._plain.items()}, **self._joined}
        return lost + [
            name for parameter, parts in made.items() if parameter not in parameters for name, _ in parts
        ]

    def is_zero(self, name: str) -> bool:
        """Say whether every number of source tensor `name` is zero, of either sign."""
        return not self._sources.floats(name, 0, next(iter(self._sources.shape(name)), 1)).any()

    def rows(self, parameter: str, start: int, stop: int) -> Floats:
        """Return rows [start, stop) of a plain parameter's first axis, float32 [stop - start, ...]."""
        if parameter in self._joined:
            return self._rows_of_parts(self._joined[parameter], start, stop)
        name, made = self._made(parameter)
        if made.is_whole:
            return self._sources.floats(name, start, stop)
        return reshape_rows.rows(self._sources, name, made, start, stop)

    def _rows_of_parts(self, parts: list[tuple[str, Reshaped]], start: int, stop: int) -> Floats:
        """Return rows [start, stop) of tensors that stand one below the other."""
        found, above = [], 0
        for name, made in parts:
            height = self._sources.shape(name)[0]
            first, last = max(start, above), min(stop, above + height)
            if first < last:
                found.append(reshape_rows.rows(self._sources, name, made, first - above, last - above))
            above += height
        return np.concatenate(found)

    def stored_rows(
        self, parameter: str, start: int, stop: int, memory: ReusedMemory | None = None
    ) -> tuple[Array, str]:
        """Return what `rows` returns, as raw values of the dtype given with them: float32 where they are made.

        They may lie in `memory` where it is given.
        """
        name, made = self._made(parameter)
        if made.is_whole:
            return self._sources.stored(name, start, stop, memory)
        return self.rows(parameter, start, stop), "F32"

    def length(self, parameter: str) -> int | None:
        """Return how many rows the source has for a plain parameter, or None where they are made of others."""
        name, made = self._made(parameter)
        if not made.is_whole:
            return None
        return next(iter(self._sources.shape(name)), 1)

    def expert(self, place: ExpertPlace, expert: int) -> Floats:
        """Return one expert's projection [out, in], or its bias [out], as float32."""
        return widen(*self.stored_expert(place, expert))

    def stored_expert(
        self, place: ExpertPlace, expert: int, memory: ReusedMemory | None = None
    ) -> tuple[Array, str]:
        """Return one expert's projection [out, in], or its bias [out], as raw values with their dtype.

        They may lie in `memory` where it is given.
        """
        tensor = self._tensor(place, expert)
        assert tensor is not None, f"{place} has no source"
        if tensor.expert is not None:
            raw, dtype = self._sources.stored(tensor.name, 0, self._sources.shape(tensor.name)[0], memory)
        else:
            stack, dtype = self._sources.stored(tensor.name, expert, expert + 1, memory)
            raw = stack[0]
        if self._transposed and not place.is_bias:
            raw = np.ascontiguousarray(raw.T)
        return (self._half(raw, place.projection) if tensor.projection == "gate_up" else raw), dtype

    def experts_at(self, place: ExpertPlace) -> int:
        """Return how many experts the source holds at a place."""
        tensor = self._tensor(place, 0)
        if tensor is None:
            return 0
        if tensor.expert is None:
            # Behind the real experts a stack may hold weights of zero experts, which compute nothing.
            return self._sources.shape(tensor.name)[0] - self._idle(tensor)
        wanted = (place.prefix, self._projection(place), place.is_bias)
        return sum(1 for prefix, projection, _, bias in self._experts if (prefix, projection, bias) == wanted)

    def _idle(self, tensor: ExpertTensor) -> int:
        stacked = self._sources.shape(tensor.name)[0]
        return self._zeros if self._declared is not None and stacked == self._declared + self._zeros else 0

    def _half(self, fused: Array, projection: str) -> Array:
        width = fused.shape[0] // 2
        if self._order == "interleaved":
            return np.ascontiguousarray(fused[(0 if projection == "gate" else 1) :: 2])
        first = "up" if self._order == "up-first" else "gate"
        return fused[:width] if projection == first else fused[width:]

    def _tensor(self, place: ExpertPlace, expert: int) -> ExpertTensor | None:
        number = None if self._stacked else expert
        return self._experts.get((place.prefix, self._projection(place), number, place.is_bias))

    def _projection(self, place: ExpertPlace) -> str:
        return "gate_up" if self._is_fused and place.projection in {"gate", "up"} else place.projection
