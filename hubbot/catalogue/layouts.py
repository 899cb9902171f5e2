"""Every way of storing experts that hubbot knows: naming, stacking, fusion, orientation and order.

A row matches whole tensor names below a layer's MoE block; a name that merely contains a pattern is no
match. Rows say what a name means; which model types may use a row stands in families/.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutRow:
    """One layout: `parts` maps a projection (gate, up, down or gate_up) to its name below the block.

    In a name "{e}" stands for the expert's number. `stacking` is "per-expert" (one [out, in] tensor each) or
    "stacked" (one [experts, out, in] tensor). `example` is a full tensor name as found on the Hub.
    """

    key: str
    naming: str
    stacking: str
    parts: Mapping[str, str]
    example: str
    source: str

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


ROWS: tuple[LayoutRow, ...] = (
    LayoutRow(
        key="A",
        naming="per-expert gate_proj/up_proj/down_proj",
        stacking="per-expert",
        parts={
            "gate": "experts.{e}.gate_proj.weight",
            "up": "experts.{e}.up_proj.weight",
            "down": "experts.{e}.down_proj.weight",
        },
        example="model.layers.3.mlp.experts.17.gate_proj.weight",
        source="Qwen/Qwen3-30B-A3B and most families; transformers conversion_mapping",
    ),
    LayoutRow(
        key="B",
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
        key="E",
        naming="stacked fused gate_up_proj/down_proj",
        stacking="stacked",
        parts={"gate_up": "experts.gate_up_proj", "down": "experts.down_proj"},
        example="model.layers.3.mlp.experts.gate_up_proj",
        source="transformers 5 save_pretrained(save_original_format=False)",
    ),
    LayoutRow(
        key="G",
        naming="stacked fused input_linear/output_linear",
        stacking="stacked",
        parts={"gate_up": "input_linear.weight", "down": "output_linear.weight"},
        example="model.layers.3.block_sparse_moe.input_linear.weight",
        source="ibm-granite MoE models; transformers conversion_mapping",
    ),
    LayoutRow(
        key="M",
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
)
BY_KEY: Mapping[str, LayoutRow] = {row.key: row for row in ROWS}

BLOCKS = ("mlp", "block_sparse_moe", "feed_forward", "mixer", "moe", "ffn")
_HEAD = rf"(?P<prefix>(?:[\w-]+\.)*layers\.(?P<layer>\d+))\.(?P<block>{'|'.join(BLOCKS)})\."


def _compile(row: LayoutRow) -> list[tuple[str, re.Pattern[str]]]:
    patterns = []
    for projection, part in row.parts.items():
        tail = re.escape(part).replace(r"\{e\}", r"(?P<expert>0|[1-9]\d{0,5})")
        patterns.append((projection, re.compile(_HEAD + tail, re.ASCII)))
    return patterns


_PATTERNS = [(row, projection, pattern) for row in ROWS for projection, pattern in _compile(row)]
_EXPERT_LIKE = re.compile(r"(?:^|\.)(?:experts?|local_experts|switch_mlp)(?:[._]|$)|(?:^|\.)w13_|_experts?_")
# Shared experts are MLPs beside the routed ones, and a bias per expert belongs to the router.
_SHARED = re.compile(r"shared_(?:expert|mlp)|expert_bias$")


def read_name(name: str) -> ExpertTensor | None:
    """Return what the catalogue reads in a tensor's name, or None where no row matches the whole of it."""
    for row, projection, pattern in _PATTERNS:
        found = pattern.fullmatch(name)
        if found:
            expert = found.groupdict().get("expert")
            return ExpertTensor(
                row=row,
                name=name,
                prefix=found["prefix"],
                layer=int(found["layer"]),
                block=found["block"],
                projection=projection,
                expert=None if expert is None else int(expert),
            )
    return None


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
