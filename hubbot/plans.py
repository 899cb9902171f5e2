"""Layout, Plan, Encoding: what a conversion will do, decided before a weight is read.

Plans are pure data: they never read, convert or judge anything.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hubbot.checkpoints import Repo, stored_bytes
from hubbot.moves import Move, Packed

# The format of layout.json and plan.json in a job's folder; a job that finds another one starts again.
FORMAT = 2
# What format 1 of these files and of hubbot.json called the rows of the layout catalogue.
_LETTERS: Mapping[str, str] = {
    "A": "per_expert",
    "A'": "per_expert_up_first",
    "B": "per_expert_w",
    "B'": "per_expert_fc",
    "C": "gateless",
    "C'": "stacked_gateless",
    "D": "stacked",
    "E": "stacked_fused",
    "E'": "granite_fused",
    "E*": "flat",
    "F": "stacked_fused_transposed",
    "G": "w13",
    "M": "mlx_switch",
    "M'": "mlx_experts",
}


def in_words(layout: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layout's plain data with its row called by the word for it, whichever format it was written in."""
    row = layout.get("row")
    return {**layout, "row": _LETTERS.get(row, row)} if isinstance(row, str) else dict(layout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a checkpoint stores its experts, with the evidence for it.

    `row` is the key of the catalogue's row; `order` says how gate and up share a tensor (None: they do not);
    `orientation` is "out,in" (rows are output features, as torch's Linear stores them) or "in,out".
    """

    row: str
    naming: str
    stacking: str
    order: str | None
    orientation: str
    packing: str
    num_experts: int
    experts_per_token: int | None
    moe_layers: tuple[int, ...]
    layers: int
    evidence: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` takes back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Layout":
        """Rebuild a layout from `to_json`'s data, of this format or an earlier one."""
        tuples = {key: tuple(data[key]) for key in ("moe_layers", "evidence")}
        return cls(**{**in_words(data), **tuples})


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How one output tensor is stored: `mode` "none" keeps `dtype`, any other mode quantizes.

    For affine quantization `dtype` is that of scales and biases (mlx.core.quantize). The mx and nv modes have
    one-byte scales and no biases; `global_scale` adds one float32 per expert (nvfp4 on switch layers). `kept` says
    that a packed source has this very format: its codes are taken over instead of rounded again.
    """

    mode: str
    dtype: str
    bits: int | None = None
    group_size: int | None = None
    global_scale: bool = False
    kept: bool = False

    @property
    def is_quantized(self) -> bool:
        """Say whether the tensor is stored in fewer bits than its dtype."""
        return self.mode != "none"

    def parts(self, name: str, shape: tuple[int, ...]) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
        """Return (name, dtype, shape) of every stored tensor of parameter `name` of logical `shape`."""
        if not self.is_quantized:
            return ((name, self.dtype, shape),)
        assert self.bits
        assert self.group_size
        path = name.removesuffix(".weight")
        lead, width = shape[:-1], shape[-1]
        parts = [
            (f"{path}.weight", "U32", (*lead, width * self.bits // 32)),
            (
                f"{path}.scales",
                self.dtype if self.mode == "affine" else "U8",
                (*lead, width // self.group_size),
            ),
        ]
        if self.mode == "affine":
            parts.append((f"{path}.biases", self.dtype, (*lead, width // self.group_size)))
        if self.global_scale:
            parts.append((f"{path}.global_scale", "F32", (shape[0],)))
        return tuple(parts)

    def nbytes(self, name: str, shape: tuple[int, ...]) -> int:
        """Return the bytes that the stored parts take."""
        return sum(stored_bytes(dtype, part_shape) for _, dtype, part_shape in self.parts(name, shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A source tensor that is not taken over, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the value of one config field comes from: "config", a rewrite, or a named default."""

    field: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedVariant:
    """One variant of the plan: an encoding per output, its bytes, and what stays at 16 bit and why.

    `recipe` is the variant as plain data, from which it can be made again.
    """

    name: str
    recipe: Mapping[str, Any]
    encodings: Mapping[str, Encoding]
    nbytes: int
    bits_per_weight: float
    unquantized: tuple[Drop, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` takes back."""
        return {
            "name": self.name,
            "recipe": dict(self.recipe),
            "encodings": {name: asdict(encoding) for name, encoding in self.encodings.items()},
            "nbytes": self.nbytes,
            "bits_per_weight": self.bits_per_weight,
            "unquantized": [asdict(item) for item in self.unquantized],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "PlannedVariant":
        """Rebuild a planned variant from `to_json`'s data."""
        return cls(
            name=data["name"],
            recipe=data["recipe"],
            encodings={name: Encoding(**encoding) for name, encoding in data["encodings"].items()},
            nbytes=data["nbytes"],
            bits_per_weight=data["bits_per_weight"],
            unquantized=tuple(Drop(**item) for item in data["unquantized"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole conversion.

    `config` is the config.json to write, before any `quantization` block; `origins` says where each of the
    runtime's fields comes from; `moves` and `drops` cover every source tensor exactly once between them. `packed`
    says which sources are stored as codes and scales; all others are tensors of the checkpoint as they stand.
    Predictions are bytes: `disk_bytes` for all variants, `memory_bytes` for the conversion's peak. `text_only`
    says why the tower of a source that also sees is left out; None where it is kept, or there is none.
    """

    source: Repo
    layout: Layout
    config: Mapping[str, Any]
    origins: tuple[Origin, ...]
    moves: tuple[Move, ...]
    drops: tuple[Drop, ...]
    packed: tuple[Packed, ...]
    variants: tuple[PlannedVariant, ...]
    disk_bytes: int
    memory_bytes: int
    versions: Mapping[str, str]
    text_only: str | None = None

    @property
    def sees(self) -> bool:
        """Say whether the artifacts hold the tower of a model that also sees."""
        return any(move.role == "tower" for move in self.moves)

    @property
    def modality(self) -> str:
        """Return what the artifacts take: "text and images", "text", or "text only" and why."""
        if self.sees:
            return "text and images"
        return f"text only: {self.text_only}" if self.text_only else "text"

    def source_codes(self, variant: PlannedVariant) -> dict[str, list[str]]:
        """Return what became of a packed source's weights: outputs "kept", "requantized" or "dequantized"."""
        packed = {packed.name for packed in self.packed}
        made: dict[str, list[str]] = {"kept": [], "requantized": [], "dequantized": []}
        for move in self.moves:
            if move.sources[0] in packed:
                encoding = variant.encodings[move.output]
                became = "kept" if encoding.kept else "requantized" if encoding.is_quantized else "dequantized"
                made[became].append(move.output)
        return made

    def to_json(self) -> dict[str, Any]:
        """Return plain data that `from_json` takes back."""
        return {
            "source": asdict(self.source),
            "layout": self.layout.to_json(),
            "config": dict(self.config),
            "origins": [asdict(origin) for origin in self.origins],
            "moves": [asdict(move) for move in self.moves],
            "drops": [asdict(drop) for drop in self.drops],
            "packed": [packed.to_json() for packed in self.packed],
            "variants": [variant.to_json() for variant in self.variants],
            "disk_bytes": self.disk_bytes,
            "memory_bytes": self.memory_bytes,
            "versions": dict(self.versions),
            "text_only": self.text_only,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Plan":
        """Rebuild a plan from `to_json`'s data."""
        return cls(
            source=Repo(**data["source"]),
            layout=Layout.from_json(data["layout"]),
            config=data["config"],
            origins=tuple(Origin(**origin) for origin in data["origins"]),
            moves=tuple(Move.from_json(move) for move in data["moves"]),
            drops=tuple(Drop(**drop) for drop in data["drops"]),
            packed=tuple(Packed.from_json(packed) for packed in data["packed"]),
            variants=tuple(PlannedVariant.from_json(variant) for variant in data["variants"]),
            disk_bytes=data["disk_bytes"],
            memory_bytes=data["memory_bytes"],
            versions=data["versions"],
            text_only=data.get("text_only"),
        )
