"""Variants and their recipes by role: who gets how many bits, in which groups, in which dtype.

The rules are those of the design, section 3.6. It knows formats and bounds, and never touches a weight.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from hubbot.catalogue.variants.roles import PROTECTED
from hubbot.checkpoints import FLOAT_DTYPES
from hubbot.plans import Encoding

ROUTED = frozenset({"expert"})
# The router decides which experts run at all; at low bits it flips choices (mlx-lm PR #349).
GUARDED = frozenset({"router", "shared_expert_gate"})
# Norms and biases are a millionth of the bytes and the most sensitive; "other" is what no rule names.
NEVER_QUANTIZED = frozenset({"norm", "bias", "state", "sinks", "other"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """A quantization mode of mlx.core.quantize with its bits and preferred group size."""

    mode: str
    bits: int
    group_size: int


def _affine(bits: int) -> Precision:
    return Precision(mode="affine", bits=bits, group_size=64)


GUARD = _affine(8)
_MX = {
    "mxfp4": Precision(mode="mxfp4", bits=4, group_size=32),
    "mxfp8": Precision(mode="mxfp8", bits=8, group_size=32),
    "nvfp4": Precision(mode="nvfp4", bits=4, group_size=16),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One exception of a custom recipe: parameters of `role`, or whose name matches glob `pattern`."""

    role: str | None
    pattern: str | None
    precision: Precision | None

    def applies(self, role: str, name: str) -> bool:
        """Say whether the rule speaks of a parameter."""
        return self.role == role if self.role else fnmatchcase(name, self.pattern or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to publish a checkpoint: `dtype` alone, or quantized: routed experts as `experts`, else `rest`.

    `rules` come first, the first that applies decides; only custom recipes have any.
    """

    name: str
    dtype: str | None
    experts: Precision | None
    rest: Precision | None
    rules: tuple[Rule, ...] = ()

    @property
    def is_quantized(self) -> bool:
        """Say whether the variant quantizes at all."""
        return self.experts is not None or self.rest is not None or any(rule.precision for rule in self.rules)

    def precision(self, role: str, name: str) -> Precision | None:
        """Return how a parameter is quantized, or None where it keeps a float dtype."""
        if not self.is_quantized or role in NEVER_QUANTIZED:
            return None
        for rule in self.rules:
            if rule.applies(role, name):
                return rule.precision
        if role in GUARDED:
            return GUARD
        return self.experts if role in ROUTED else self.rest

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain data, from which the variant can be made again."""
        return {**asdict(self), "rules": [asdict(rule) for rule in self.rules]}


def _plain(name: str, dtype: str) -> Variant:
    return Variant(name=name, dtype=dtype, experts=None, rest=None)


def _uniform(name: str, precision: Precision) -> Variant:
    return Variant(name=name, dtype=None, experts=precision, rest=precision)


def _routed_only(name: str, precision: Precision) -> Variant:
    return Variant(name=name, dtype=None, experts=precision, rest=_affine(8))


VARIANTS: Mapping[str, Variant] = {
    variant.name: variant
    for variant in (
        _plain("fp32", "F32"),
        _plain("fp16", "F16"),
        _plain("bf16", "BF16"),
        *(_uniform(f"{bits}bit", _affine(bits)) for bits in (8, 6, 5, 4, 3, 2)),
        *(_uniform(name, precision) for name, precision in _MX.items()),
        _routed_only("moe-2bit", _affine(2)),
        _routed_only("moe-3bit", _affine(3)),
        _routed_only("moe-4bit", _affine(4)),
        _routed_only("moe-mxfp4", _MX["mxfp4"]),
    )
}
DEFAULT_VARIANTS = ("bf16", "8bit", "4bit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A parameter as a recipe sees it.

    `shape` is logical; `source_dtype` that of its source, `main_dtype` that of most of the checkpoint's bytes;
    `predicate` is the answer of the model's own quant_predicate (None: it has none), `takes_global_scale`
    whether its layer can hold nvfp4's tensor scale.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    source_dtype: str
    main_dtype: str
    quantizable: bool
    predicate: bool | Mapping[str, int] | None
    takes_global_scale: bool


def encode(subject: Subject, variant: Variant) -> tuple[Encoding, str | None]:
    """Return how `variant` stores `subject`, and why it stays unquantized where the recipe wanted otherwise."""
    plain = Encoding(mode="none", dtype=_dtype(subject, variant))
    wanted = variant.precision(subject.role, subject.name) if subject.quantizable else None
    if wanted is None:
        return plain, None
    if subject.role in GUARDED and wanted.bits < GUARD.bits:
        wanted = GUARD  # a pattern may have caught the router among others
    if subject.role in GUARDED and subject.source_dtype == "F32":
        return plain, "the source holds this router in float32"
    if subject.predicate is False:
        return plain, "mlx-lm's own quant_predicate excludes it"
    if subject.role not in ROUTED and isinstance(subject.predicate, Mapping):
        wanted = _at_least(wanted, subject.predicate)
    if wanted.mode == "nvfp4" and not subject.takes_global_scale:
        # Without the tensor scale nvfp4's one-byte scales turn small weights into zeros.
        wanted = GUARD
    group_size = _group(wanted, subject.shape[-1])
    if group_size is None:
        return plain, f"{subject.shape[-1]} columns are no multiple of a {wanted.mode} group"
    return Encoding(
        mode=wanted.mode,
        dtype=_float_dtype(subject, variant) if wanted.mode == "affine" else "U8",
        bits=wanted.bits,
        group_size=group_size,
        global_scale=wanted.mode == "nvfp4",
    ), None


def _at_least(wanted: Precision, predicate: Mapping[str, int]) -> Precision:
    bits = predicate.get("bits", 0)
    if wanted.bits >= bits:
        return wanted
    return Precision(mode="affine", bits=bits, group_size=predicate.get("group_size", 64))


def _group(precision: Precision, width: int) -> int | None:
    if width % precision.group_size == 0:
        return precision.group_size
    # The largest smaller group that divides the row; the mx and nv modes know only their own.
    smaller = [size for size in (64, 32) if size < precision.group_size and width % size == 0]
    return smaller[0] if precision.mode == "affine" and smaller else None


def _dtype(subject: Subject, variant: Variant) -> str:
    if subject.source_dtype not in FLOAT_DTYPES:
        return subject.source_dtype
    if subject.source_dtype == "F32" and subject.role in PROTECTED:
        return "F32"
    return _float_dtype(subject, variant)


def _float_dtype(subject: Subject, variant: Variant) -> str:
    if variant.dtype:
        return variant.dtype
    # Quantized variants keep a 16-bit source's dtype and bring float32 down to bfloat16.
    return subject.main_dtype if subject.main_dtype in {"F16", "BF16"} else "BF16"
