"""The shape of a family row: which mlx-lm class computes a model type, under which names, with which limits.

It knows no family; the rows stand in the modules beside this one.
"""

from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.derivations import Derivation
from hubbot.catalogue.reshapes import Reshape
from hubbot.catalogue.towers import Tower

# Projection -> module, as mlx-lm's SwitchGLU calls them.
EXPERT_NAMES: Mapping[str, str] = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model type and the mlx-lm class that computes the same function.

    The class:
    - `runtime` is the module of mlx-lm that holds it; `extension` is hubbot's own class where mlx-lm's computes
      something else. `runtime_type` is the model type it is loaded by where that is not the module's name.
    - `blocks` are the names of a layer's MoE block on disk, `runtime_block` its name in the class;
      `expert_module` and `expert_names` are what the class calls its stacked experts and their projections.
    - `renormalises_one_expert`: True where the class makes the weight of a single chosen expert 1, with the
      renormalisation of its config switched on where it has one; False where it leaves the weight as it is. A
      test runs the class and measures it.
    - `limits` are fields that the class reads but computes otherwise beyond certain values.
    - `under` are rows that hold instead for some checkpoints of the type: an extension only where it is needed.

    The tensors:
    - `layouts` maps a row of the layout catalogue to the order of gate and up in it and the evidence for that;
      a row that is not listed is ambiguous for this family.
    - `renames` are (pattern, replacement) for tensors beside the experts; `reshapes` are those of them that are
      not taken over as they stand.

    The config:
    - `defaults` are the values that transformers' config class gives to fields a config.json may leave out;
      sizes that every config states are not among them. `default_source` says whose config class it is.
    - `always` says what the class does whatever the config says, where that is not the plain thing: the
      statements of configs/statements.py. A key that states the same has no effect; lists of keys stand in no row.
    - `unread` are keys of published configs that transformers does not read, so that no twin can be built.
    - `derived` are fields worked out of other keys and never taken over as they stand; `fixed` are those with
      one value, and the reason; `derived_head_dim` says that a missing head_dim is hidden_size / heads.
    - `text_args` is the class ("module.Class") of the text decoder's fields where the model keeps them in
      text_config, `text_type` the model type written there; `text_types` are those that a source's text_config
      may say, any where it is empty. `writes` are keys written beside the fields.
    - `keeps_rope_parameters`: the class reads that dictionary itself, and in it the keys `rope_reads` beside
      those of mlx-lm's rope. `rope_kinds` are the kinds of scaling it computes, `unscaled_rope` is what stands for
      no scaling. `rope_is_scaled`: transformers scales it where a config says nothing. `rope_drift` is how many
      radians a token may be rotated otherwise than by the source's yarn where that does not truncate its ramp.

    The tokenizer:
    - `tiktoken` is what the published code makes of a tiktoken.model, for repos that keep no code beside it.

    Beside the decoder:
    - `taken_by` are the layouts that other programs take, by program, as far as that was tried.
    - `tower` says how mlx-vlm keeps what a model that also sees has for that, or in words why it cannot.

    In transformers:
    - `transformers_type` is the model type of the config class where transformers has none of this name.
    - `module_names` are fragments of names on the Hub and what transformers' modules say instead; the first that
      fits counts.
    """

    model_type: str
    runtime: str
    blocks: tuple[str, ...]
    runtime_block: str
    renormalises_one_expert: bool
    layouts: Mapping[str, "Provenance"]
    defaults: Mapping[str, Any]
    derived_head_dim: bool = False
    always: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, "Limit"] = field(default_factory=dict)
    renames: tuple[tuple[str, str], ...] = ()
    expert_module: str = "switch_mlp"
    expert_names: Mapping[str, str] = field(default_factory=lambda: EXPERT_NAMES)
    reshapes: tuple[Reshape, ...] = ()
    extension: "Extension | None" = None
    default_source: str = "transformers 5.23"
    text_args: str | None = None
    text_type: str | None = None
    text_types: tuple[str, ...] = ()
    tiktoken: "TiktokenSpecials | None" = None
    derived: Mapping[str, Derivation] = field(default_factory=dict)
    fixed: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    keeps_rope_parameters: bool = False
    rope_reads: tuple[str, ...] = ()
    unscaled_rope: Mapping[str, Any] | None = None
    rope_drift: float = 0.0
    rope_is_scaled: bool = False
    rope_kinds: Container[str] = field(default_factory=lambda: ropes.USUAL)
    unread: tuple[str, ...] = ()
    writes: Mapping[str, Any] = field(default_factory=dict)
    runtime_type: str | None = None
    transformers_type: str | None = None
    under: tuple["Under", ...] = ()
    module_names: tuple[tuple[str, str], ...] = ()
    tower: Tower | str | None = None
    taken_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def written_type(self) -> str:
        """Return the model type that the written config is loaded by."""
        return self.runtime_type or self.runtime

    @property
    def model_file(self) -> str | None:
        """Return the file of hubbot's own that runs this family, or None where mlx-lm's class does."""
        return self.extension.file if self.extension else None

    @property
    def naming(self) -> "Naming":
        """Return how the Hub and transformers name and order the experts."""
        return _naming(self.layouts, self.module_names)


@dataclass(frozen=True, slots=True, kw_only=True)
class TiktokenSpecials:
    """The special tokens behind a tiktoken vocabulary: `count` ids; `sees`: images and thoughts have some.

    `only_by_class`: other tokenizers are published under the same model type, so that tokenizer_config.json has to
    name the class.
    """

    count: int
    sees: bool = False
    only_by_class: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A model type that hubbot knows of and does not convert.

    `layouts` are rows of the layout catalogue with what is known of them, empty where no row reads its experts;
    an order of gate and up that stands there is proven by the source cited. `reason` says what is in the way
    beside a class of that name in mlx-lm; where it says nothing, a reference is. `waits` is False where no class
    would help: such a type is refused for good.
    """

    model_type: str
    layouts: Mapping[str, "Provenance"]
    reason: str = ""
    waits: bool = True

    @property
    def naming(self) -> "Naming | None":
        """Return how the Hub and transformers name and order the experts, None where no order is proven."""
        naming = _naming(self.layouts, ())
        return naming if naming.order else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How transformers 5 keeps a model type's experts: derived from its row, never from shapes.

    `row` of the layout catalogue is that of its experts on the Hub where each has a tensor (None: they never
    do). `order` says how gate and up share a tensor (None: unknown, or there is no gate). `pairs` are fragments
    of names on the Hub and what transformers' modules say instead; the first that fits counts. `is_gated` says
    whether the experts have a gate. `orders` are those of every layout that the model type's checkpoints have.
    """

    row: str | None
    order: str | None
    pairs: tuple[tuple[str, str], ...] = ()
    is_gated: bool = True
    orders: Mapping[str, str | None] = field(default_factory=dict)


# Layouts with a tensor for each expert: what transformers' modules call the same, and those whose gate and up
# share a tensor as its modules keep them.
_PER_EXPERT: Mapping[str, str] = {
    "per_expert": "per_expert",
    "per_expert_w": "per_expert_w",
    "gateless": "per_expert",
}
_FUSED = ("stacked_fused", "stacked_fused_transposed", "granite_fused")


def _naming(layouts: Mapping[str, "Provenance"], pairs: tuple[tuple[str, str], ...]) -> Naming:
    return Naming(
        row=next((row for key, row in _PER_EXPERT.items() if key in layouts), None),
        order=next((layouts[key].order for key in _FUSED if key in layouts), None),
        pairs=pairs,
        is_gated=not layouts.keys() & {"gateless", "stacked_gateless"},
        orders={key: provenance.order for key, provenance in layouts.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Under:
    """The row that holds instead for some checkpoints of a model type.

    `when` picks them by config and names of tensors, `where` says it in words.
    """

    where: str
    when: Callable[[Mapping[str, Any], Collection[str]], bool]
    row: Family


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
class Including:
    """The lists that include each of `kinds` at least once, as values of a limit."""

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
