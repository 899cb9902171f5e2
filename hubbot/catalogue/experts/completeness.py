"""Whether all experts of a checkpoint are there: how many there ought to be, and which are missing.

Pure checks on names and counts, for convert and relayout alike; what is missing is named by layer and number.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from hubbot.catalogue import resolution
from hubbot.catalogue.experts.expert_layouts import ExpertTensor, LayoutRow
from hubbot.checkpoints import Checkpoint
from hubbot.errors import ConfigUnresolved, IncompleteCover

MISSING_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """Expert tensors under one row of the catalogue: all of a checkpoint, or those of one stack of layers."""

    row: LayoutRow
    tensors: Sequence[ExpertTensor]

    @property
    def layers(self) -> tuple[int, ...]:
        """Return the layers that hold experts, ascending."""
        return tuple(sorted({tensor.layer for tensor in self.tensors}))


def expert_count(checkpoint: Checkpoint, experts: Experts) -> int:
    """Return the number of routed experts that the config declares.

    Raises ConfigUnresolved where it declares none, IncompleteCover where a stack holds another number or an expert
    has a number beyond it.
    """
    declared = resolution.expert_count(checkpoint.config)
    if declared is None:
        raise ConfigUnresolved(
            "experts are there, but the config does not say how many", where=f"{checkpoint.repo.id}, config.json"
        )
    key, count = declared
    # Longcat's zero experts have no down projection, but transformers stacks weights for them all the same.
    stacks = {count, count + resolution.zero_experts(checkpoint.config)}
    for tensor in experts.tensors:
        shape = checkpoint.tensors[tensor.name].shape
        found = shape[0] if tensor.expert is None and len(shape) == 3 - tensor.is_bias else None
        if found is not None and found not in stacks:
            raise IncompleteCover(
                f"layer {tensor.layer} stacks {found} experts, the config says {key} = {count}", where=tensor.name
            )
        if tensor.expert is not None and tensor.expert >= count:
            raise IncompleteCover(
                f"layer {tensor.layer} has an expert {tensor.expert}, the config says {key} = {count}",
                where=tensor.name,
            )
    return count


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    first: ExpertTensor
    expert: int | None
    lacking: Sequence[str]

    def __str__(self) -> str:
        expert = "" if self.expert is None else f", expert {self.expert}"
        return f"layer {self.first.layer}{expert} lacks {' and '.join(self.lacking)}"


def check_complete(experts: Experts, count: int) -> None:
    """Raise IncompleteCover, naming layer and expert, unless every layer has every projection of every expert.

    Where one expert has a bias, every expert has to have it.
    """
    biases = {tensor.projection for tensor in experts.tensors if tensor.is_bias}
    needed = {
        **{(projection, False): projection for projection in experts.row.parts},
        **{(projection, True): f"{projection} bias" for projection in experts.row.biases if projection in biases},
    }
    by_layer: dict[str, list[ExpertTensor]] = defaultdict(list)
    for tensor in experts.tensors:
        by_layer[tensor.prefix].append(tensor)
    missing = 0
    shown: list[_Gap] = []
    for layer in by_layer.values():
        present: dict[int | None, set[tuple[str, bool]]] = defaultdict(set)
        for tensor in layer:
            present[tensor.expert].add((tensor.projection, tensor.is_bias))
        whole = {expert for expert, found in present.items() if found >= needed.keys()}
        expected = 1 if None in present else count
        missing += expected - len(whole)
        if len(whole) < expected:
            shown += islice(_gaps(layer[0], present, needed, expected), MISSING_SHOWN - len(shown))
    if missing:
        _refuse(experts, shown, missing, f"{count} experts in each of {len(by_layer)} layers")


def _gaps(
    first: ExpertTensor,
    present: Mapping[int | None, set[tuple[str, bool]]],
    needed: Mapping[tuple[str, bool], str],
    expected: int,
) -> Iterator[_Gap]:
    # Lazily: a config may claim a billion experts.
    for expert in [None] if None in present else range(expected):
        lacking = [told for key, told in needed.items() if key not in present.get(expert, ())]
        if lacking:
            yield _Gap(first=first, expert=expert, lacking=lacking)


def _refuse(experts: Experts, shown: Sequence[_Gap], missing: int, expected: str) -> None:
    more = f"; and {missing - len(shown)} more" if missing > len(shown) else ""
    gap = shown[0]
    projection, _, bias = gap.lacking[0].partition(" ")
    part = (experts.row.biases if bias else experts.row.parts)[projection]
    raise IncompleteCover(
        f"experts are missing: {'; '.join(map(str, shown))}{more} (expected {expected})",
        where=f"{gap.first.home}.{part.replace('{e}', str(gap.expert))}",
        hint="the checkpoint is incomplete; hubbot looks again when it has a new commit",
    )


_LAYER = re.compile(r"(?:^|\.)(?:layers|transformer\.blocks)\.([0-9]{1,6})\.")


def check_layers(checkpoint: Checkpoint, layers: int) -> None:
    """Raise IncompleteCover unless exactly the layers that the config claims have tensors."""
    seen = {int(found[1]) for name in checkpoint.tensors if (found := _LAYER.search(name))}
    # Also what keeps a config that claims a million layers from being built.
    missing = next((layer for layer in range(min(layers, len(seen) + 1)) if layer not in seen), None)
    if missing is not None:
        raise IncompleteCover(
            f"the config says num_hidden_layers = {layers}, but no tensor belongs to layer {missing}",
            where=checkpoint.repo.id,
            hint="the checkpoint is incomplete, or config.json describes another model",
        )
    beyond = sorted(layer for layer in seen if layer >= layers)
    if beyond:
        raise IncompleteCover(
            f"there are tensors of layer {beyond[0]}, but the config says num_hidden_layers = {layers}",
            where=checkpoint.repo.id,
            hint="an extra layer is usually a multi-token-prediction head, which this version does not take",
        )
