"""Every way of storing experts that hubbot knows: naming, stacking, fusion, orientation and order.

A row matches whole tensor names below a layer's MoE block; a name that merely contains a pattern is no
match. Rows say what a name means; which model types may use a row stands in families/.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutRow:
    """One layout: `parts` maps a projection (gate, up, down or gate_up) to its name below the block.

    In a name "{e}" stands for the expert's number. `stacking` is "per-expert" (one [out, in] tensor each),
    "stacked" (one [experts, out, in] tensor) or "flat" (one [experts * width, hidden] tensor, of down too: its
    experts stand one below the other, and the family's reshapes take them apart). `biases` are the names of the
    projections' biases, where experts have any. `example` is a full tensor name as found on the Hub.
    `same_names_as` is a row with the same names, from which shapes or a missing gate tell this one.
    """

    key: str
    naming: str
    stacking: str
    parts: Mapping[str, str]
    example: str
    source: str
    biases: Mapping[str, str] = field(default_factory=dict)
    same_names_as: str | None = None

    @property
    def is_fused(self) -> bool:
        """Say whether gate and up share one tensor."""
        return "gate_up" in self.parts


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
        biases={
            "gate": "experts.{e}.gate_proj.bias",
            "up": "experts.{e}.up_proj.bias",
            "down": "experts.{e}.down_proj.bias",
        },
        example="model.layers.3.mlp.experts.17.gate_proj.weight",
        source="Qwen/Qwen3-30B-A3B and most families; transformers conversion_mapping",
    ),
    LayoutRow(
        key="per_expert_up_first",
        naming="per-expert gate_and_up_proj/down_proj, the up rows first",
        stacking="per-expert",
        parts={"gate_up": "experts.{e}.gate_and_up_proj.weight", "down": "experts.{e}.down_proj.weight"},
        example="model.layers.3.mlp.experts.7.gate_and_up_proj.weight",
        source="Tencent's HunYuan models as they were trained; mlx-lm's hunyuan.py, sanitize",
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
        example="vision_tower.layers.3.mlp.experts.5.fc1.weight",
        source="dots3_note's vision encoder; transformers conversion_mapping",
    ),
    LayoutRow(
        key="gateless",
        naming="per-expert up_proj/down_proj without a gate",
        stacking="per-expert",
        parts={"up": "experts.{e}.up_proj.weight", "down": "experts.{e}.down_proj.weight"},
        example="backbone.layers.3.mixer.experts.17.up_proj.weight",
        source="nvidia Nemotron-H MoE models; transformers conversion_mapping",
        same_names_as="per_expert",
    ),
    LayoutRow(
        key="stacked_gateless",
        naming="stacked up_proj/down_proj without a gate",
        stacking="stacked",
        parts={"up": "experts.up_proj", "down": "experts.down_proj"},
        example="model.layers.3.mixer.experts.up_proj",
        source="transformers 5 save_pretrained(save_original_format=False) of Nemotron-H",
        same_names_as="stacked",
    ),
    LayoutRow(
        key="stacked_fused",
        naming="stacked fused gate_up_proj/down_proj",
        stacking="stacked",
        parts={"gate_up": "experts.gate_up_proj", "down": "experts.down_proj"},
        biases={"gate_up": "experts.gate_up_proj_bias", "down": "experts.down_proj_bias"},
        example="model.layers.3.mlp.experts.gate_up_proj",
        source="transformers 5 save_pretrained(save_original_format=False)",
    ),
    LayoutRow(
        key="stacked",
        naming="stacked, separate gate_proj/up_proj/down_proj",
        stacking="stacked",
        parts={"gate": "experts.gate_proj", "up": "experts.up_proj", "down": "experts.down_proj"},
        example="model.layers.3.mlp.experts.gate_proj",
        source="trainers that stack experts and keep gate and up apart (VeOmni)",
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
        parts={"gate_up": "experts.gate_up_proj", "down": "experts.down_proj"},
        biases={"gate_up": "experts.gate_up_proj_bias", "down": "experts.down_proj_bias"},
        example="model.layers.3.feed_forward.experts.gate_up_proj",
        source="Llama 4, Qwen3-VL-MoE, gpt-oss in bfloat16: [experts, in, out]",
        same_names_as="stacked_fused",
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
        example="model.layers.3.mlp.switch_mlp.gate_proj.weight",
        source="repos made with mlx-lm (models/switch_layers.py, SwitchGLU)",
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
        biases={
            "gate": "experts.gate_proj.bias",
            "up": "experts.up_proj.bias",
            "down": "experts.down_proj.bias",
        },
        example="model.layers.3.mlp.experts.gate_proj.weight",
        source="repos made with mlx-lm for classes that call their SwitchGLU `experts` (dots1, afmoe, gpt_oss)",
    ),
)
BY_KEY: Mapping[str, LayoutRow] = {row.key: row for row in ROWS}
# Row with a gate -> the row of the same names without one; row [out, in] -> the row [in, out].
GATELESS: Mapping[str, str] = {"per_expert": "gateless", "stacked": "stacked_gateless"}
TRANSPOSED: Mapping[str, str] = {"stacked_fused": "stacked_fused_transposed"}

BLOCKS = ("mlp", "block_sparse_moe", "feed_forward", "mixer", "moe", "ffn")
# Gemma 4 holds its experts beside the dense MLP, directly in the layer.
_LIST = r"(?:layers|(?<=transformer\.)blocks)"
_HEAD = rf"(?P<prefix>(?:[\w-]+\.)*{_LIST}\.(?P<layer>\d+))\.(?:(?P<block>{'|'.join(BLOCKS)})\.)?"


def _compile(row: LayoutRow) -> Iterator[tuple[str, bool, re.Pattern[str]]]:
    for parts, is_bias in ((row.parts, False), (row.biases, True)):
        for projection, part in parts.items():
            tail = re.escape(part).replace(r"\{e\}", r"(?P<expert>0|[1-9]\d{0,5})")
            yield projection, is_bias, re.compile(_HEAD + tail, re.ASCII)


_PATTERNS = [
    (row, projection, is_bias, pattern)
    for row in ROWS
    if row.same_names_as is None
    for projection, is_bias, pattern in _compile(row)
]
_EXPERT_LIKE = re.compile(r"(?:^|\.)(?:experts?|local_experts|switch_mlp)(?:[._]|$)|(?:^|\.)w13_|_experts?_")
# Shared experts are MLPs beside the routed ones; a bias or a scale per expert belongs to the router.
_SHARED = re.compile(r"shared_(?:expert|mlp)|expert_bias$|\.e_score_correction_bias$|\.per_expert_scale$")


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
    """Return the row of expert tensors that all match one; see `rows_of`."""
    return rows_of(tensors)[0]


def rows_of(tensors: Iterable[ExpertTensor]) -> tuple[LayoutRow, ...]:
    """Return the rows that expert tensors match, told apart by projections where rows share names."""
    found: dict[str, set[str]] = defaultdict(set)
    for tensor in tensors:
        found[tensor.row.key].add(tensor.projection)
    for key, other in (("stacked", "stacked_fused"), ("per_expert_up_first", "per_expert")):
        if key in found and found.get(other) == {"down"}:
            found[key] |= found.pop(other)  # both rows call the last projection the same
    keys = [GATELESS[key] if key in GATELESS and "gate" not in found[key] else key for key in found]
    return tuple(BY_KEY[key] for key in keys)


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
