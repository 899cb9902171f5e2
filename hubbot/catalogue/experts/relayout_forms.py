"""The forms that experts can be rewritten between: their names, orientation, order, and where each matrix lives.

Which order of gate and up a model type uses is knowledge (the rows of families), never inferred from shapes.
It never reads weights.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hubbot.catalogue.experts.expert_layouts import BLOCKS, read_name
from hubbot.catalogue.experts.transformers_names import Naming
from hubbot.errors import AmbiguousLayout, WrongUsage

PER_EXPERT, STACKED, FUSED, FUSED_TRANSPOSED = "per-expert", "stacked", "fused", "fused-transposed"
# Name of a form -> what it is, and who expects it.
TARGETS: Mapping[str, str] = {
    PER_EXPERT: "one [out, in] tensor per expert and projection, named as the family's checkpoints name them",
    STACKED: "experts.gate_proj, up_proj [E, I, H] and down_proj [E, H, I], as VeOmni trains them",
    FUSED: "experts.gate_up_proj [E, 2I, H] and down_proj [E, H, I]: transformers 5, mlx-vlm",
    FUSED_TRANSPOSED: "experts.gate_up_proj [E, H, 2I] and down_proj [E, I, H]: Qwen3-VL, Llama 4, gpt-oss",
}
BIAS = "_bias"


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


def _with_biases(weights: Mapping[str, str]) -> Mapping[str, str]:
    """Return `weights` with the names of the biases beside them, where torch and transformers put them."""
    biases = {
        projection + BIAS: name.replace(".weight", ".bias") if name.endswith(".weight") else name + BIAS
        for projection, name in weights.items()
    }
    return {**weights, **biases}


_GATE_UP_DOWN = _with_biases({name: f"experts.{{e}}.{name}_proj.weight" for name in ("gate", "up", "down")})
_W1_W3_W2 = _with_biases(
    {"gate": "experts.{e}.w1.weight", "up": "experts.{e}.w3.weight", "down": "experts.{e}.w2.weight"}
)
_STACKED = _with_biases({name: f"experts.{name}_proj" for name in ("gate", "up", "down")})
_FUSED = _with_biases({"gate_up": "experts.gate_up_proj", "down": "experts.down_proj"})


def target(name: str, naming: Naming | None, projections: frozenset[str]) -> Form:
    """Return the form called `name` for layers with `projections` (gate, up, down, and biases where there are).

    Raises AmbiguousLayout where nothing proves how the model type fuses gate and up, WrongUsage where there is
    nothing to fuse and which way round it is could not be told afterwards.
    """
    if name == PER_EXPERT:
        keeps_w = naming is not None and naming.row == "per_expert_w"
        return _form(_W1_W3_W2 if keeps_w else _GATE_UP_DOWN, projections, transposed=False)
    gated = "gate" in projections
    if name == FUSED_TRANSPOSED and not gated:
        raise WrongUsage(
            "experts without a gate have no pair to transpose", hint="fused and stacked are one for them"
        )
    if name == STACKED or not gated:
        return _form(_STACKED, projections, transposed=False)
    parts = {key: part for key, part in _FUSED.items() if set(halves(key)) <= projections}
    order = proven(naming.order if naming else None, parts["gate_up"])
    return Form(parts=parts, transposed=name == FUSED_TRANSPOSED, order=order)


def _form(parts: Mapping[str, str], projections: frozenset[str], *, transposed: bool) -> Form:
    kept = {key: part for key, part in parts.items() if key in projections}
    return Form(parts=kept, transposed=transposed, order=None)


def proven(order: str | None, part: str) -> str:
    """Return the order of gate and up in a tensor called `part`, or raise AmbiguousLayout where none is known."""
    if order is None:
        raise AmbiguousLayout(
            f"nothing proves how gate and up share {part!r} in this model type",
            hint="the forms per-expert and stacked keep them apart; its row in catalogue/families decides it",
        )
    return order


def has_hub_names(name: str, naming: Naming | None) -> bool:
    """Say whether form `name` is that of the family's own checkpoints, and not of transformers' modules."""
    # Granite's checkpoints are stacked: as single experts its modules' names are all there is.
    return name == PER_EXPERT and (naming is None or naming.row is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertName:
    """An expert tensor's name taken apart: `part` is the name below the block with "{e}" for the number."""

    name: str
    prefix: str
    layer: int
    block: str
    part: str
    projection: str
    expert: int | None


def read(name: str) -> ExpertName | None:
    """Return what any form, or any row of the layout catalogue, reads in a tensor's name; None if nothing does."""
    for part, projection, pattern in _PATTERNS:
        found = pattern.fullmatch(name)
        if found:
            expert = found.groupdict().get("expert")
            return ExpertName(
                name=name,
                prefix=found["prefix"],
                layer=int(found["layer"]),
                block=found["block"] or "",
                part=part,
                projection=projection,
                expert=None if expert is None else int(expert),
            )
    known = read_name(name)
    if known is None or known.is_bias:
        return None
    return ExpertName(
        name=name,
        prefix=known.prefix,
        layer=known.layer,
        block=known.block,
        part=known.row.parts[known.projection],
        projection=known.projection,
        expert=known.expert,
    )


def _compiled(part: str, projection: str) -> tuple[str, str, re.Pattern[str]]:
    # Some families keep the experts beside their dense MLP, in no block of their own.
    head = rf"(?P<prefix>(?:[\w-]+\.)*layers\.(?P<layer>\d{{1,6}}))\.(?:(?P<block>{'|'.join(BLOCKS)})\.)?"
    tail = re.escape(part).replace(r"\{e\}", r"(?P<expert>0|[1-9]\d{0,5})")
    return part, projection, re.compile(head + tail, re.ASCII)


_PATTERNS = [
    _compiled(part, projection)
    for parts in (_GATE_UP_DOWN, _W1_W3_W2, {**_STACKED, **_FUSED})
    for projection, part in parts.items()
]
