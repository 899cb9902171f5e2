"""The expert matrices of a checkpoint, layer by layer: in which form, how many, how large, all there or not.

Pure checks on names and shapes; what is missing or odd is named by layer and expert. It guesses no order.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hubbot.catalogue import packings, resolution
from hubbot.catalogue.experts import relayout_forms
from hubbot.catalogue.experts.expert_layouts import BY_KEY, looks_like_expert
from hubbot.catalogue.experts.relayout_forms import BIAS, ExpertName, Form
from hubbot.catalogue.experts.transformers_names import naming_of, order_in
from hubbot.catalogue.variants.roles import role_of
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import (
    AmbiguousLayout,
    ConfigUnresolved,
    IncompleteCover,
    NotMixtureOfExperts,
    UnknownLayout,
    UnknownPacking,
)

Shape = tuple[int, ...]
# What mlx-lm's own repos call their experts.
_MLX = frozenset(part for key in ("mlx_switch", "mlx_experts") for part in BY_KEY[key].parts.values())


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
    """Return the layers with experts by prefix, or raise naming the layer and expert that do not fit."""
    names = _names(checkpoint)
    count = _count(checkpoint)
    by_layer: dict[str, list[ExpertName]] = defaultdict(list)
    for name in names:
        by_layer[name.prefix].append(name)
    _check_routers(checkpoint, by_layer)
    layers = {prefix: _layer(checkpoint, group, count) for prefix, group in by_layer.items()}
    _check_alike(list(layers.values()))
    return layers


def _names(checkpoint: Checkpoint) -> list[ExpertName]:
    known, unknown = [], []
    for name in checkpoint.tensors:
        found = relayout_forms.read(name)
        if found is not None:
            known.append(found)
        elif looks_like_expert(name) and role_of(name) != "router" and ".router." not in name:
            unknown.append(checkpoint.tensors[name])
    if unknown:
        packed = packings.signs(unknown)
        first = unknown[0]
        told = f"{first.name!r} {list(first.shape)} {first.dtype}"
        if packed:
            raise UnknownPacking(
                f"the experts are packed: {next(iter(packed.values()))}",
                where=next(iter(packed)),
                hint="convert unpacks them; relayout moves plain weights only",
            )
        raise UnknownLayout(f"no form knows {told}", where=checkpoint.repo.id)
    if not known:
        raise NotMixtureOfExperts("no tensor name speaks of experts", where=checkpoint.repo.id)
    return known


def _count(checkpoint: Checkpoint) -> int:
    declared = resolution.expert_count(checkpoint.config)
    if declared is None:
        raise ConfigUnresolved(
            "experts are there, but the config does not say how many", where=f"{checkpoint.repo.id}, config.json"
        )
    if resolution.zero_experts(checkpoint.config):
        raise AmbiguousLayout(
            "the config counts zero experts, for which transformers stacks weights that checkpoints do not hold",
            where=f"{checkpoint.repo.id}, config.json",
            hint="relayout moves what is there and makes no weights up",
        )
    return declared[1]


def _check_routers(checkpoint: Checkpoint, layers: Mapping[str, object]) -> None:
    for name in checkpoint.tensors:
        if role_of(name) == "router":
            prefix = next((prefix for prefix in layers if name.startswith(f"{prefix}.")), None)
            if prefix is None:
                raise IncompleteCover("the layer has a router, but no experts", where=name)


def _layer(checkpoint: Checkpoint, group: Sequence[ExpertName], count: int) -> ExpertLayer:
    first = group[0]
    parts = _parts(group)
    _check_complete(checkpoint, group, parts, count)
    stored = {key: _same(checkpoint, [name for name in group if name.projection == key]) for key in parts}
    matrices = {key: _matrix(stored[key], stacked="{e}" not in part) for key, part in parts.items()}
    transposed, shapes = _oriented(first, matrices)
    form = Form(parts=parts, transposed=transposed, order=_order(checkpoint, parts))
    return ExpertLayer(
        prefix=first.prefix,
        number=first.layer,
        block=first.block,
        experts=count,
        form=form,
        shapes=shapes,
        dtypes={half: stored[key].dtype for key in parts for half in relayout_forms.halves(key)},
    )


def _parts(group: Sequence[ExpertName]) -> dict[str, str]:
    parts: dict[str, str] = {}
    first = group[0]
    told = f"layer {first.layer} holds its experts in several layouts at once"
    for name in group:
        if parts.setdefault(name.projection, name.part) != name.part or name.block != first.block:
            raise AmbiguousLayout(told, where=f"{name.name}, {first.name}")
    stacked = {"{e}" not in part for part in parts.values()}
    if len(stacked) > 1 or {"gate_up", "gate"} <= set(parts):
        raise AmbiguousLayout(told, where=first.name)
    if any(part in _MLX for part in parts.values()):
        raise AmbiguousLayout(
            "the checkpoint is in MLX's own form, whose other tensors may be folded or renamed",
            where=first.name,
            hint="relayout the checkpoint that it was made from",
        )
    return parts


def _order(checkpoint: Checkpoint, parts: Mapping[str, str]) -> str | None:
    if "gate_up" not in parts:
        return None
    return relayout_forms.proven(order_in(checkpoint.model_type, parts["gate_up"]), parts["gate_up"])


def _check_complete(
    checkpoint: Checkpoint, group: Sequence[ExpertName], parts: Mapping[str, str], count: int
) -> None:
    layer = group[0].layer
    needed = {"down"} | ({"gate_up"} if "gate_up" in parts else {"up"})
    naming = naming_of(checkpoint.model_type)
    if "gate_up" not in parts and (naming is None or naming.is_gated):
        needed.add("gate")
    lacking = needed - set(parts)
    if lacking:
        raise IncompleteCover(
            f"layer {layer}, expert 0 lacks {' and '.join(sorted(lacking))}", where=group[0].name
        )
    for projection, part in parts.items():
        names = [name for name in group if name.projection == projection]
        if "{e}" in part:
            _check_numbers(names, part, count)
        else:
            _check_stacked(checkpoint, names, count)


def _check_numbers(names: Sequence[ExpertName], part: str, count: int) -> None:
    first = names[0]
    home = f"{first.prefix}.{first.block}".removesuffix(".")
    present = {name.expert or 0 for name in names}
    if max(present) >= count:
        raise IncompleteCover(
            f"layer {first.layer} has an expert {max(present)}, the config says {count} experts",
            where=f"{home}.{part.replace('{e}', str(max(present)))}",
        )
    # A config that claims a billion experts is found out at the first that is missing.
    missing = next((expert for expert in range(count) if expert not in present), None)
    if missing is not None:
        raise IncompleteCover(
            f"layer {first.layer}, expert {missing} lacks {first.projection}: {len(present)} of {count} are there",
            where=f"{home}.{part.replace('{e}', str(missing))}",
        )


def _check_stacked(checkpoint: Checkpoint, names: Sequence[ExpertName], count: int) -> None:
    for name in names:
        shape = checkpoint.tensors[name.name].shape
        if shape[:1] != (count,):
            found = shape[0] if shape else "no"
            raise IncompleteCover(
                f"layer {name.layer} stacks {found} experts, the config says {count}", where=name.name
            )


def _same(checkpoint: Checkpoint, names: Sequence[ExpertName]) -> TensorInfo:
    """Return the tensor that stands for all of a projection, or raise naming the expert that differs."""
    infos = [checkpoint.tensors[name.name] for name in names]
    usual, _ = Counter((info.shape, info.dtype) for info in infos).most_common(1)[0]
    for name, info in zip(names, infos, strict=True):
        if (info.shape, info.dtype) != usual:
            raise IncompleteCover(
                f"layer {name.layer}, expert {name.expert}: {name.projection} is {list(info.shape)} {info.dtype}, "
                f"that of the others is {list(usual[0])} {usual[1]}",
                where=name.name,
            )
    return next(info for info in infos if (info.shape, info.dtype) == usual)


def _matrix(info: TensorInfo, *, stacked: bool) -> Shape:
    """Return the shape of one expert's part of a tensor, as stored."""
    return info.shape[1:] if stacked else info.shape


def _oriented(first: ExpertName, stored: Mapping[str, Shape]) -> tuple[bool, dict[str, Shape]]:
    """Return whether the weights are stored [in, out], and [out, in] (a bias: [out]) by projection."""
    told = ", ".join(f"{key} {list(shape)}" for key, shape in stored.items())
    for transposed in (False, True):
        shapes = {key: _turned(shape) if transposed else shape for key, shape in stored.items()}
        if _fit(shapes):
            return transposed, {
                half: _half(key, shapes[key]) for key in shapes for half in relayout_forms.halves(key)
            }
    raise IncompleteCover(f"layer {first.layer}: the expert shapes do not fit together: {told}", where=first.name)


def _turned(shape: Shape) -> Shape:
    return shape[::-1] if len(shape) == 2 else shape


def _half(key: str, shape: Shape) -> Shape:
    return (shape[0] // len(relayout_forms.halves(key)), *shape[1:])


def _fit(shapes: Mapping[str, Shape]) -> bool:
    """Say whether the matrices are one MLP's: gate and up [I, H], down [H, I], biases as long as their rows.

    For a fused pair 2I x H and H x I can never fit both ways; a square single projection counts as [out, in].
    """
    weights = {key: shape for key, shape in shapes.items() if not key.endswith(BIAS)}
    if any(len(shape) != 2 or 0 in shape for shape in weights.values()):
        return False
    height, width = weights["down"]
    first = weights.get("gate_up") or weights["up"]
    wide = 2 * width if "gate_up" in weights else width
    if first != (wide, height) or weights.get("gate", first) != first:
        return False
    return all(shapes[key] == weights[key.removesuffix(BIAS)][:1] for key in shapes if key.endswith(BIAS))


def _check_alike(layers: Sequence[ExpertLayer]) -> None:
    """Raise IncompleteCover unless the layers of one stack keep experts of one size in one form."""
    stacks: dict[str, ExpertLayer] = {}
    for layer in layers:
        usual = stacks.setdefault(layer.prefix.rpartition(".")[0], layer)
        if layer.form != usual.form:
            raise AmbiguousLayout(
                f"layer {layer.number} keeps its experts in another form than layer {usual.number}",
                where=layer.form.place(layer.home, "down", 0, 0).tensor,
            )
        if (layer.shapes, layer.dtypes) != (usual.shapes, usual.dtypes):
            raise IncompleteCover(
                f"layer {layer.number}, expert 0 has {_told(layer)}; layer {usual.number} has {_told(usual)}",
                where=layer.form.place(layer.home, "down", 0, 0).tensor,
            )


def _told(layer: ExpertLayer) -> str:
    return ", ".join(f"{key} {list(shape)} {layer.dtypes[key]}" for key, shape in layer.shapes.items())
