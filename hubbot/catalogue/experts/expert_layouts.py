"""Every way of storing experts that hubbot knows, one row for each: naming, stacking, fusion and orientation.

Convert, relayout and the referee read names by these rows alone. A row matches whole tensor names below a
layer's MoE block, never a part of one. Which model types may use a row stands in families/.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hubbot.errors import AmbiguousLayout

BIAS = "_bias"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutRow:
    """One layout: `parts` maps a projection (gate, up, down or gate_up) to its name below the block.

    `key` is the word for it everywhere; the command line writes it with hyphens. In a name "{e}" stands for the
    expert's number. `stacking` is "per-expert" (one matrix each), "stacked" (one tensor [experts, matrix]) or
    "flat" (one [experts * width, hidden] tensor, of down too: its experts stand one below the other, and the
    family's reshapes take them apart). `orientation` is "out,in" (rows are output features, as torch's Linear
    stores them) or "in,out". `biased` says that experts may have biases. `example` is a full tensor name as found
    on the Hub. `same_names_as` is a row with the same names, from which shapes or a missing gate tell this one.
    `of_mlx` says that only repos made with mlx-lm have it. `target` says what `relayout --to` makes under this
    word and who expects it; it is empty where relayout reads the layout and does not write it.
    """

    key: str
    naming: str
    stacking: str
    parts: Mapping[str, str]
    example: str
    source: str
    orientation: str = "out,in"
    biased: bool = False
    same_names_as: str | None = None
    of_mlx: bool = False
    target: str = ""

    @property
    def is_fused(self) -> bool:
        """Say whether gate and up share one tensor."""
        return "gate_up" in self.parts

    @property
    def biases(self) -> Mapping[str, str]:
        """Return the names of the biases: of torch's Linear modules, or as transformers calls those of a stack."""
        if not self.biased:
            return {}
        return {
            projection: f"{name.removesuffix('.weight')}.bias" if name.endswith(".weight") else f"{name}{BIAS}"
            for projection, name in self.parts.items()
        }

    @property
    def all_parts(self) -> Mapping[str, str]:
        """Return the parts with the biases beside them, whose projections end in "_bias"."""
        return {**self.parts, **{projection + BIAS: name for projection, name in self.biases.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertTensor:
    """A tensor name as a row reads it: `expert` is None in stacked layouts; `prefix` ends before the block."""

    row: LayoutRow
    name: str
    prefix: str
    layer: int
    block: str
    projection: str
    expert: int | None
    is_bias: bool = False

    @property
    def is_flat(self) -> bool:
        """Say whether the family's reshapes take it apart, like any tensor beside the experts."""
        return self.row.stacking == "flat"

    @property
    def home(self) -> str:
        """Return what stands before the row's names: the layer and its block, if it has one."""
        return f"{self.prefix}.{self.block}".removesuffix(".")

    @property
    def part(self) -> str:
        """Return the row's own name of it, with "{e}" for the expert's number."""
        return (self.row.biases if self.is_bias else self.row.parts)[self.projection]


ROWS: tuple[LayoutRow, ...] = (
    LayoutRow(
        key="per_expert",
        naming="per-expert gate_proj/up_proj/down_proj",
        stacking="per-expert",
        parts={
            "gate": "experts.{e}.gate_proj.weight",
            "up": "experts.{e}.up_proj.weight",
            "down": "experts.{e}.down_proj.weight",
        },
        biased=True,
        example="model.layers.3.mlp.experts.17.gate_proj.weight",
        source="Qwen/Qwen3-30B-A3B and most families; transformers conversion_mapping",
        target="one [out, in] tensor per expert and projection, named as the family's checkpoints name them",
    ),
    LayoutRow(
        key="per_expert_up_first",
        naming="per-expert gate_and_up_proj/down_proj, the up rows first",
        stacking="per-expert",
        parts={"gate_up": "experts.{e}.gate_and_up_proj.weight", "down": "experts.{e}.down_proj.weight"},
        biased=True,
        example="model.layers.3.mlp.experts.7.gate_and_up_proj.weight",
        source="Tencent's HunYuan models as they were trained; mlx-lm's hunyuan.py, sanitize",
        target="one gate_and_up_proj and down_proj per expert, the up rows first: Tencent's HunYuan (`hunyuan`)",
    ),
    LayoutRow(
        key="per_expert_w",
        naming="per-expert w1/w3/w2",
        stacking="per-expert",
        parts={
            "gate": "experts.{e}.w1.weight",
            "up": "experts.{e}.w3.weight",
            "down": "experts.{e}.w2.weight",
        },
        biased=True,
        example="model.layers.3.block_sparse_moe.experts.5.w1.weight",
        source="mistralai/Mixtral-8x7B; w1 is gate, w3 is up, w2 is down",
    ),
    LayoutRow(
        key="per_expert_fc",
        naming="per-expert fc1/fc3/fc2",
        stacking="per-expert",
        parts={
            "gate": "experts.{e}.fc1.weight",
            "up": "experts.{e}.fc3.weight",
            "down": "experts.{e}.fc2.weight",
        },
        biased=True,
        example="vision_tower.layers.3.mlp.experts.5.fc1.weight",
        source="dots3_note's vision encoder; transformers conversion_mapping",
    ),
    LayoutRow(
        key="gateless",
        naming="per-expert up_proj/down_proj without a gate",
        stacking="per-expert",
        parts={"up": "experts.{e}.up_proj.weight", "down": "experts.{e}.down_proj.weight"},
        biased=True,
        example="backbone.layers.3.mixer.experts.17.up_proj.weight",
        source="nvidia Nemotron-H MoE models; transformers conversion_mapping",
        same_names_as="per_expert",
    ),
    LayoutRow(
        key="stacked_gateless",
        naming="stacked up_proj/down_proj without a gate",
        stacking="stacked",
        parts={"up": "experts.up_proj", "down": "experts.down_proj"},
        biased=True,
        example="model.layers.3.mixer.experts.up_proj",
        source="transformers 5 save_pretrained(save_original_format=False) of Nemotron-H",
        same_names_as="stacked",
    ),
    LayoutRow(
        key="stacked_fused",
        naming="stacked fused gate_up_proj/down_proj",
        stacking="stacked",
        parts={"gate_up": "experts.gate_up_proj", "down": "experts.down_proj"},
        biased=True,
        example="model.layers.3.mlp.experts.gate_up_proj",
        source="transformers 5 save_pretrained(save_original_format=False)",
        target="experts.gate_up_proj [E, 2I, H] and down_proj [E, H, I]: transformers 5, mlx-vlm",
    ),
    LayoutRow(
        key="stacked",
        naming="stacked, separate gate_proj/up_proj/down_proj",
        stacking="stacked",
        parts={"gate": "experts.gate_proj", "up": "experts.up_proj", "down": "experts.down_proj"},
        biased=True,
        example="model.layers.3.mlp.experts.gate_proj",
        source="trainers that stack experts and keep gate and up apart (VeOmni)",
        target="experts.gate_proj, up_proj [E, I, H] and down_proj [E, H, I], as VeOmni trains them",
    ),
    LayoutRow(
        key="stacked_in_moe",
        naming="stacked gate_proj/up_proj/down_proj directly in moe",
        stacking="stacked",
        parts={"gate": "moe.gate_proj.weight", "up": "moe.up_proj.weight", "down": "moe.down_proj.weight"},
        example="model.layers.3.moe.gate_proj.weight",
        source="stepfun-ai/Step-3.5-Flash; transformers conversion_mapping",
    ),
    LayoutRow(
        key="granite_fused",
        naming="stacked fused input_linear/output_linear",
        stacking="stacked",
        parts={"gate_up": "input_linear.weight", "down": "output_linear.weight"},
        example="model.layers.3.block_sparse_moe.input_linear.weight",
        source="ibm-granite MoE models; transformers conversion_mapping",
    ),
    LayoutRow(
        key="stacked_fused_transposed",
        naming="stacked fused and transposed gate_up_proj/down_proj",
        stacking="stacked",
        orientation="in,out",
        parts={"gate_up": "experts.gate_up_proj", "down": "experts.down_proj"},
        biased=True,
        example="model.layers.3.feed_forward.experts.gate_up_proj",
        source="Llama 4, Qwen3-VL-MoE, gpt-oss in bfloat16: [experts, in, out]",
        same_names_as="stacked_fused",
        target="experts.gate_up_proj [E, H, 2I] and down_proj [E, I, H]: Qwen3-VL, Llama 4, gpt-oss",
    ),
    LayoutRow(
        key="flat",
        naming="flat w1/v1/w2, one expert's rows below the other's",
        stacking="flat",
        parts={"gate": "experts.mlp.w1", "up": "experts.mlp.v1", "down": "experts.mlp.w2"},
        example="transformer.blocks.3.ffn.experts.mlp.w1",
        source="databricks/dbrx; transformers' DbrxExpertGLU, views of [experts, width, hidden]",
    ),
    LayoutRow(
        key="w13",
        naming="stacked fused w13_weight/w2_weight, gate and up in turn",
        stacking="stacked",
        parts={"gate_up": "experts.w13_weight", "down": "experts.w2_weight"},
        example="model.layers.3.mlp.experts.w13_weight",
        source="inkling; transformers conversion_mapping, Interleave(1)",
    ),
    LayoutRow(
        key="mlx_switch",
        naming="mlx switch_mlp gate_proj/up_proj/down_proj",
        stacking="stacked",
        parts={
            "gate": "switch_mlp.gate_proj.weight",
            "up": "switch_mlp.up_proj.weight",
            "down": "switch_mlp.down_proj.weight",
        },
        biased=True,
        example="model.layers.3.mlp.switch_mlp.gate_proj.weight",
        source="repos made with mlx-lm (models/switch_layers.py, SwitchGLU)",
        of_mlx=True,
        target="switch_mlp.gate_proj, up_proj, down_proj beside tensors under the source's names: HunYuan",
    ),
    LayoutRow(
        key="mlx_experts",
        naming="mlx experts gate_proj/up_proj/down_proj",
        stacking="stacked",
        parts={
            "gate": "experts.gate_proj.weight",
            "up": "experts.up_proj.weight",
            "down": "experts.down_proj.weight",
        },
        biased=True,
        example="model.layers.3.mlp.experts.gate_proj.weight",
        source="repos made with mlx-lm for classes that call their SwitchGLU `experts` (dots1, afmoe, gpt_oss)",
        of_mlx=True,
    ),
)
BY_KEY: Mapping[str, LayoutRow] = {row.key: row for row in ROWS}
# Row [out, in] -> the row of the same names that is [in, out].
TRANSPOSED: Mapping[str, LayoutRow] = {
    row.same_names_as: row for row in ROWS if row.same_names_as and row.orientation == "in,out"
}
# What `relayout --to` can make, by the word for it.
TARGETS: Mapping[str, LayoutRow] = {row.key: row for row in ROWS if row.target}
# What `relayout --to` called some of them at first.
_FORMER_WORDS: Mapping[str, str] = {"fused": "stacked_fused", "fused-transposed": "stacked_fused_transposed"}


def spelled(key: str) -> str:
    """Return how the command line writes a row's word: with hyphens."""
    return key.replace("_", "-")


def target_words(key: str) -> tuple[str, ...]:
    """Return every word that `relayout --to` takes for a row, the present one first."""
    return (spelled(key), *(word for word, other in _FORMER_WORDS.items() if other == key))


def target_named(word: str) -> str | None:
    """Return the key of the layout that `relayout --to` makes for a word, or None where there is none."""
    key = _FORMER_WORDS.get(word, word.replace("-", "_"))
    return key if key in TARGETS else None


BLOCKS = ("mlp", "block_sparse_moe", "feed_forward", "mixer", "moe", "ffn")
# DBRX's layers, and Kimi's as transformers saves them.
_LIST = r"(?:layers|(?:(?<=transformer\.)|(?<=language_model\.model\.))blocks)"
# Gemma 4 holds its experts beside the dense MLP, directly in the layer.
_HEAD = rf"(?P<prefix>(?:[\w-]+\.)*{_LIST}\.(?P<layer>\d{{1,6}}))\.(?:(?P<block>{'|'.join(BLOCKS)})\.)?"


def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(_HEAD + re.escape(part).replace(r"\{e\}", r"(?P<expert>0|[1-9]\d{0,5})"), re.ASCII)


_PATTERNS = [
    (row, projection.removesuffix(BIAS), projection.endswith(BIAS), _compiled(part))
    for row in ROWS
    if row.same_names_as is None
    for projection, part in row.all_parts.items()
]
_EXPERT_LIKE = re.compile(r"(?:^|\.)(?:experts?|local_experts|switch_mlp)(?:[._]|$)|(?:^|\.)w13_|_experts?_")
# Shared experts are MLPs beside the routed ones; a bias or a scale per expert belongs to the router. Kimi K3 has a
# latent space that all routed experts share.
_SHARED = re.compile(
    r"shared_(?:expert|mlp)|expert_bias$|\.e_score_correction_bias$|\.per_expert_scale$"
    r"|\.routed_expert_(?:down_proj|up_proj|norm)\."
)


def read_name(name: str) -> ExpertTensor | None:
    """Return what the catalogue reads in a tensor's name, or None where no row matches the whole of it."""
    for row, projection, is_bias, pattern in _PATTERNS:
        found = pattern.fullmatch(name)
        if found:
            expert = found.groupdict().get("expert")
            return ExpertTensor(
                row=row,
                name=name,
                prefix=found["prefix"],
                layer=int(found["layer"]),
                block=found["block"] or "",
                projection=projection,
                expert=None if expert is None else int(expert),
                is_bias=is_bias,
            )
    return None


def row_of(tensors: Sequence[ExpertTensor]) -> LayoutRow:
    """Return the one row that knows the names of all `tensors`.

    Of several rows it is the one of which the fewest projections are missing; of two that only shapes tell apart
    it is the one stored [out, in]. Raises AmbiguousLayout, naming rows and layers, where no row knows all names.
    """
    row = _knowing({tensor.part for tensor in tensors})
    if row is not None:
        return row
    by_prefix: dict[str, list[ExpertTensor]] = defaultdict(list)
    for tensor in tensors:
        by_prefix[tensor.prefix].append(tensor)
    first: dict[str, ExpertTensor] = {}
    for group in by_prefix.values():
        one = _knowing({tensor.part for tensor in group})
        for tensor in group:
            first.setdefault((one or tensor.row).key, tensor)
    told = ", ".join(
        f"{key} ({BY_KEY[key].naming}) in layer {tensor.layer}" for key, tensor in list(first.items())[:6]
    )
    raise AmbiguousLayout(
        f"experts are stored in several layouts at once: {told}",
        where=", ".join(tensor.name for tensor in list(first.values())[:2]),
    )


def _knowing(names: set[str]) -> LayoutRow | None:
    rows = [row for row in ROWS if names <= set(row.all_parts.values())]
    return min(
        rows,
        key=lambda row: (len(set(row.parts.values()) - names), row.same_names_as is not None),
        default=None,
    )


def looks_like_expert(name: str) -> bool:
    """Say whether a name speaks of routed experts, whether or not a row knows it."""
    return bool(_EXPERT_LIKE.search(name)) and not _SHARED.search(name)


def read_names(names: Iterable[str]) -> tuple[list[ExpertTensor], list[str]]:
    """Return the expert tensors among `names`, and those that look like experts but match no row."""
    known: list[ExpertTensor] = []
    unknown: list[str] = []
    for name in names:
        found = read_name(name)
        if found:
            known.append(found)
        elif looks_like_expert(name):
            unknown.append(name)
    return known, unknown
