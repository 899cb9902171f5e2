"""Whether all experts of a checkpoint are there: how many there ought to be, and which are missing.

Pure checks on names and counts, for convert and relayout alike; what is missing is named by layer and number.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from hubbot.catalogue import resolution
from hubbot.catalogue.configs.nesting import decoder, uniform
from hubbot.catalogue.configs.spellings import EXPERTS
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


_ONE_NUMBER = (
    "transformers and mlx-lm take one number of experts for all layers: bring every layer to the same number "
    "(prune them alike, or fill up with experts that the router never chooses)"
)
# What a layer's router is called behind its block; its first axis counts the experts.
_ROUTERS = re.compile(r"\.(?:gate|router|gate\.wg|router\.layer|router\.gate)\.weight")


def check_even(checkpoint: Checkpoint, experts: Experts) -> None:
    """Raise IncompleteCover where layers hold different numbers of experts, ConfigUnresolved for a list."""
    for key in EXPERTS:
        listed = decoder(checkpoint.config).get(key)
        if isinstance(listed, list) and not isinstance(uniform(key, listed), int):
            raise ConfigUnresolved(
                f"the config says {key} = {str(listed)[:60]}, a number for every layer",
                where=f"{checkpoint.repo.id}, config.json",
                hint=_ONE_NUMBER,
            )
    counts = {layer: found for layer in experts.layers if (found := _count_in(checkpoint, experts, layer))}
    usual = max(counts.values(), default=0)
    odd = next((layer for layer, count in counts.items() if count != usual), None)
    if odd is not None and len(counts) == len(experts.layers):
        other = next(layer for layer, count in counts.items() if count == usual)
        raise IncompleteCover(
            f"layer {odd} has {counts[odd]} experts and a router for as many, layer {other} has {usual}",
            where=checkpoint.repo.id,
            hint=_ONE_NUMBER,
        )


def _count_in(checkpoint: Checkpoint, experts: Experts, layer: int) -> int | None:
    """Return how many experts a layer has where its tensors and its router agree on it, else None."""
    held = [tensor for tensor in experts.tensors if tensor.layer == layer and not tensor.is_bias]
    if experts.row.stacking == "per-expert":
        numbers = {tensor.expert for tensor in held}
        count = len(numbers) if numbers == set(range(len(numbers))) else 0
    else:
        shapes = {checkpoint.tensors[tensor.name].shape for tensor in held}
        count = next(iter(shapes))[0] if experts.row.stacking == "stacked" and shapes else 0
    home = f"{held[0].prefix}.{held[0].block}".rstrip(".")
    rows = {
        info.shape[0]
        for name, info in checkpoint.tensors.items()
        if name.startswith(home) and _ROUTERS.fullmatch(name[len(home) :]) and info.shape
    }
    return count if count and rows == {count} else None


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
                hint="the config's count is wrong, or pruning kept the old numbers: renumber experts from 0",
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

    Where half of the experts have a bias, every expert has to have it; where fewer have it, the first of theirs is
    named as the odd one.
    """
    by_layer: dict[str, list[ExpertTensor]] = defaultdict(list)
    for tensor in experts.tensors:
        by_layer[tensor.prefix].append(tensor)
    total = sum(1 if layer[0].expert is None else count for layer in by_layer.values())
    held = Counter(tensor.projection for tensor in experts.tensors if tensor.is_bias)
    biases = {projection for projection, number in held.items() if 2 * number >= total}
    needed = {
        **{(projection, False): projection for projection in experts.row.parts},
        **{(projection, True): f"{projection} bias" for projection in experts.row.biases if projection in biases},
    }
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
    stray = next(
        (tensor for tensor in experts.tensors if tensor.is_bias and tensor.projection not in biases), None
    )
    if stray is not None:
        _refuse_stray(stray, held[stray.projection], total)


def _refuse_stray(stray: ExpertTensor, number: int, total: int) -> None:
    expert = "" if stray.expert is None else f", expert {stray.expert}"
    where = "stacks of experts" if stray.expert is None else "experts"
    raise IncompleteCover(
        f"layer {stray.layer}{expert} has a bias of {stray.projection}, which {number} of {total} {where} have",
        where=stray.name,
        hint="a tensor that does not belong here, or the other experts' biases are missing",
    )


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


_LAYER = re.compile(r"(?:^|\.)(?:layers|transformer\.blocks|language_model\.model\.blocks)\.([0-9]{1,6})\.")


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
