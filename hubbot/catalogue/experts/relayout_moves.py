"""Every tensor of a checkpoint in another form: what it is called, how large it is, and which pieces make it.

Exact cover: every matrix of the source has one place in the target, every tensor one name. It moves nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hubbot.catalogue.experts import relayout_forms
from hubbot.catalogue.experts.expert_layouts import BY_KEY, read_name, spelled
from hubbot.catalogue.experts.orientation import Shape
from hubbot.catalogue.experts.relayout_forms import Form, Place
from hubbot.catalogue.experts.relayout_sources import ExpertLayer, expert_layers, has_source_names
from hubbot.catalogue.experts.transformers_names import naming_of, renamed
from hubbot.checkpoints import Checkpoint, TensorInfo
from hubbot.errors import IncompleteCover, UnknownPacking, WrongUsage
from hubbot.moves import Packed


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One matrix [out, in] (a bias: [out]) and where it lies in the source and in the target."""

    source: Place
    target: Place
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One tensor to write: `pieces` in the order they stand in it; none for a copy of the tensor `source`."""

    name: str
    dtype: str
    shape: Shape
    source: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rearrangement:
    """A whole checkpoint in the form of row `to`; `layers` are as they stand, `form` is what the first becomes.

    `tensors` are the source's by name, `packed` those of them that are decoded while they are moved.
    """

    to: str
    form: Form
    layers: tuple[ExpertLayer, ...]
    outputs: tuple[Output, ...]
    tensors: Mapping[str, TensorInfo]
    packed: Mapping[str, Packed] = field(default_factory=dict)

    @property
    def is_there_already(self) -> bool:
        """Say whether the source is in this form: every tensor keeps its name, shape and dtype."""
        if self.packed:
            return False
        made = {output.name: (output.shape, output.dtype) for output in self.outputs}
        return made == {name: (info.shape, info.dtype) for name, info in self.tensors.items()}


def rearrangement(checkpoint: Checkpoint, to: str) -> Rearrangement:
    """Return the checkpoint's tensors in the form of row `to`, one of TARGETS, in the order of the source's files.

    Raises the verdicts of errors.py, naming layer and expert, where the experts are not all there in one form.
    """
    layers = expert_layers(checkpoint)
    if BY_KEY[to].of_mlx and not has_source_names(checkpoint):
        raise WrongUsage(
            "nothing would tell the outcome from a repo made with mlx-lm, whose other tensors may be renamed",
            where=checkpoint.repo.id,
            hint="`hubbot convert` makes a repo for mlx-lm; the other forms are there for all",
        )
    # A tower beside the decoder may keep biases where the decoder has none.
    forms = {prefix: _form(checkpoint, layer, to) for prefix, layer in layers.items()}
    outputs = tuple(_outputs(checkpoint, layers, forms, to))
    _check_names(outputs)
    form = next(iter(forms.values()))
    return Rearrangement(
        to=to, form=form, layers=tuple(layers.values()), outputs=outputs, tensors=checkpoint.tensors
    )


def _form(checkpoint: Checkpoint, layer: ExpertLayer, to: str) -> Form:
    form = relayout_forms.target(to, naming_of(checkpoint.model_type), frozenset(layer.shapes))
    for projection in layer.shapes:
        if projection not in form.parts and relayout_forms.pair_of(projection) not in form.parts:
            raise IncompleteCover(f"form {spelled(to)} has no place for {projection}", where=layer.home)
    if any(layer.dtypes[gate] != layer.dtypes[up] for gate, up in _pairs(form)):
        raise UnknownPacking("gate and up are stored in two dtypes and cannot share a tensor", where=layer.home)
    return form


def _pairs(form: Form) -> Iterator[tuple[str, str]]:
    for part in form.parts:
        if part.startswith("gate_up"):
            gate, up = relayout_forms.halves(part)
            yield gate, up


def _outputs(
    checkpoint: Checkpoint, layers: Mapping[str, ExpertLayer], forms: Mapping[str, Form], to: str
) -> Iterator[Output]:
    naming, done = naming_of(checkpoint.model_type), set()
    on_hub = relayout_forms.has_hub_names(to, naming)
    for tensor in sorted(checkpoint.tensors.values(), key=lambda tensor: (tensor.shard, tensor.start)):
        found = read_name(tensor.name)
        if found is None:
            name = renamed(naming, tensor.name, on_hub=on_hub)
            yield Output(name=name, dtype=tensor.dtype, shape=tensor.shape, source=tensor.name, pieces=())
        elif found.prefix not in done:
            done.add(found.prefix)
            layer = layers[found.prefix]
            home = renamed(naming, f"{layer.home}.experts", on_hub=on_hub).removesuffix(".experts")
            yield from _experts(layer, forms[found.prefix], home)


def _experts(layer: ExpertLayer, form: Form, home: str) -> Iterator[Output]:
    """Yield the tensors that hold the layer's experts in `form`, each with its pieces."""
    pieces: dict[str, list[Piece]] = {}
    dtypes: dict[str, str] = {}
    for expert in range(layer.experts):
        for projection in (half for part in form.parts for half in relayout_forms.halves(part)):
            shape = layer.shapes[projection]
            piece = Piece(
                source=layer.form.place(layer.home, projection, expert, shape[0]),
                target=form.place(home, projection, expert, shape[0]),
                shape=shape,
            )
            pieces.setdefault(piece.target.tensor, []).append(piece)
            dtypes[piece.target.tensor] = layer.dtypes[projection]
    for name, group in pieces.items():
        yield Output(
            name=name,
            dtype=dtypes[name],
            shape=_made_shape(group, layer.experts),
            source=group[0].source.tensor,
            pieces=tuple(group),
        )


def _made_shape(pieces: list[Piece], experts: int) -> Shape:
    first = pieces[0]
    share = sum(piece.target.expert == first.target.expert for piece in pieces)
    shape: Shape = (first.shape[0] * share, *first.shape[1:])
    if first.target.transposed:
        shape = shape[::-1]
    return shape if first.target.expert is None else (experts, *shape)


def _check_names(outputs: tuple[Output, ...]) -> None:
    seen: dict[str, str] = {}
    for output in outputs:
        if output.name in seen:
            raise IncompleteCover(
                f"{output.name!r} would be made twice, from {seen[output.name]!r} and {output.source!r}"
            )
        seen[output.name] = output.source
