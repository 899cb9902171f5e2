"""The shape of a family row: which mlx-lm class computes a model type, under which names, with which limits.

It knows no family; the rows stand in the modules beside this one.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model type and the mlx-lm class that computes the same function.

    `blocks` are the names a layer's MoE block has on disk, `runtime_block` its name in the class. `defaults`
    are the values that the transformers 5.23 config class gives to fields a config.json may omit. `layouts`
    maps a row of the layout catalogue to the order of gate and up in it and the evidence for that; a row that
    is not listed is ambiguous for this family. `neutral` adds values under which a config key that the class
    does not read has no effect, `inert` names keys that never have one in this family; `limits` names fields
    that the class reads but computes otherwise beyond certain values. `renames` are (pattern, replacement) for
    tensors beside the experts, `expert_module` is what the class calls its stacked experts. `reference` names
    the committed transformers reference. `extension` is hubbot's own class where mlx-lm's computes something
    else. `default_source` names whose config class `defaults` quotes.
    """

    model_type: str
    runtime: str
    blocks: tuple[str, ...]
    runtime_block: str
    layouts: Mapping[str, "Provenance"]
    defaults: Mapping[str, Any]
    derived_head_dim: bool = False
    neutral: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    inert: tuple[str, ...] = ()
    limits: Mapping[str, "Limit"] = field(default_factory=dict)
    renames: tuple[tuple[str, str], ...] = ()
    expert_module: str = "switch_mlp"
    reference: str
    extension: "Extension | None" = None
    default_source: str = "transformers 5.23"

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
class Provenance:
    """Why a layout row may be read in one way for one model type: `order` of gate and up, and the source."""

    order: str | None
    source: str
