"""The shape of a family row: which mlx-lm class computes a model type, under which names, with which limits.

It knows no family; the rows stand in the modules beside this one.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.derivations import Derivation
from hubbot.catalogue.reshapes import Reshape

# Projection -> module, as mlx-lm's SwitchGLU calls them.
EXPERT_NAMES: Mapping[str, str] = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model type and the mlx-lm class that computes the same function.

    `blocks` are the names a layer's MoE block has on disk, `runtime_block` its name in the class. `defaults`
    are the values that the transformers 5.23 config class gives to fields a config.json may omit. `layouts`
    maps a row of the layout catalogue to the order of gate and up in it and the evidence for that; a row that
    is not listed is ambiguous for this family. `always` says what the class does whatever the config says: the
    statements of configs/statements.py, where it is not the plain thing. `limits` names fields that the class
    reads but computes otherwise beyond certain values. `renames` are (pattern, replacement) for tensors beside
    the experts, `expert_module` is what the class calls its stacked experts. `reference` names the committed
    transformers reference. `extension` is hubbot's own class where mlx-lm's computes something
    else. `expert_names` says what the class calls each projection. `reshapes` are the tensors beside the experts
    that are not taken over as they stand. `default_source` names whose config class `defaults` quotes.

    How its config is read: `text_args` is the class ("module.Class") of the text decoder's fields where the
    model keeps them in text_config, `text_type` the model type written there. `derived` are fields worked out
    of other keys and never taken over as they stand, `fixed` those with one value and the reason. With
    `keeps_rope_parameters` the class reads that dictionary itself, and in it the keys `rope_reads` beside those
    of mlx-lm's rope; `unscaled_rope` is what stands for no scaling. `rope_drift` is how many radians a token may
    be rotated otherwise than by the source's yarn where that does not truncate its ramp; it is recorded.
    `rope_is_scaled` says that transformers scales it where a config says nothing, `rope_kinds` which kinds of
    scaling the class computes. `unread` are keys of published configs that transformers does not read: of those
    no twin can be built. `writes` are keys of the written config beside the fields; `runtime_type` is the model
    type it is loaded by, where that is not the class's own name, `source_type` the one by which transformers
    computes this family, where it has no class of the same name.
    """

    model_type: str
    runtime: str
    blocks: tuple[str, ...]
    runtime_block: str
    layouts: Mapping[str, "Provenance"]
    defaults: Mapping[str, Any]
    derived_head_dim: bool = False
    limits: Mapping[str, "Limit"] = field(default_factory=dict)
    renames: tuple[tuple[str, str], ...] = ()
    expert_module: str = "switch_mlp"
    expert_names: Mapping[str, str] = field(default_factory=lambda: EXPERT_NAMES)
    reshapes: tuple[Reshape, ...] = ()
    reference: str
    extension: "Extension | None" = None
    default_source: str = "transformers 5.23"
    text_args: str | None = None
    text_type: str | None = None
    derived: Mapping[str, Derivation] = field(default_factory=dict)
    fixed: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    keeps_rope_parameters: bool = False
    rope_reads: tuple[str, ...] = ()
    unscaled_rope: Mapping[str, Any] | None = None
    rope_drift: float = 0.0
    rope_is_scaled: bool = False
    rope_kinds: Container[str] = field(default_factory=lambda: ropes.READ)
    unread: tuple[str, ...] = ()
    writes: Mapping[str, Any] = field(default_factory=dict)
    runtime_type: str | None = None
    always: Mapping[str, Any] = field(default_factory=dict)
    source_type: str | None = None

    @property
    def written_type(self) -> str:
        """Return the model type that the written config is loaded by."""
        return self.runtime_type or self.runtime

    @property
    def model_file(self) -> str | None:
        """Return the file of hubbot's own that runs this family, or None where mlx-lm's class does."""
        return self.extension.file if self.extension else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A model file of hubbot's own (see extensions.py), and what mlx-lm's class computes otherwise."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The values of a field under which the runtime's class computes the source's function, and why no others."""

    values: Container[Any]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """The lists that name each of `kinds` at least once, as values of a limit."""

    kinds: frozenset[str]

    def __contains__(self, value: object) -> bool:
        return isinstance(value, list) and self.kinds <= set(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """The mappings that have all of `keys`, as values of a limit."""

    keys: frozenset[str]

    def __contains__(self, value: object) -> bool:
        return isinstance(value, Mapping) and self.keys <= set(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """The numbers from `least` to `most`, as values of a limit."""

    least: float
    most: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.least <= value <= self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Why a layout row may be read in one way for one model type: `order` of gate and up, and the source."""

    order: str | None
    source: str
