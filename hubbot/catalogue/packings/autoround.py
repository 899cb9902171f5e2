"""AutoRound: what its settings call themselves, and which of gptq's and awq's packings they mean.

Source: intel/auto-round, auto_round/inference/backend.py (GPTQ_FORMAT has zero points less one,
GPTQ_FORMAT_NO_ZP as they are, AWQ_FORMAT) and auto_round/export/export_to_autoround.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.packings import gptq
from hubbot.catalogue.packings.rule import Found, Method, Packing, refused
from hubbot.checkpoints import Checkpoint

METHOD = "auto-round"
# packing_format -> the method that reads it, and what that method has to be told.
FORMATS: Mapping[str, tuple[Method, Mapping[str, str]]] = {
    "auto_round:auto_gptq": (gptq.gptq, {"checkpoint_format": "gptq"}),
    "auto_gptq": (gptq.gptq, {"checkpoint_format": "gptq"}),
    "auto_round:gptqmodel": (gptq.gptq, {"checkpoint_format": "gptq_v2"}),
    "auto_round": (gptq.gptq, {"checkpoint_format": "gptq_v2"}),
    "auto_round:auto_awq": (gptq.awq, {"version": "gemm"}),
    "auto_awq": (gptq.awq, {"version": "gemm"}),
}
ROWS = (
    Packing(
        key=gptq.GPTQ,
        method=METHOD,
        naming="`qweight`, `qzeros`, `scales`; packing_format auto_round, auto_round:auto_gptq, ...:gptqmodel",
        example="model.layers.0.mlp.experts.0.gate_proj.qweight",
        source="intel/auto-round auto_round/inference/backend.py",
    ),
    Packing(
        key=gptq.AWQ,
        method=METHOD,
        naming="`qweight` [in, out / 8], `qzeros`, `scales`; packing_format auto_round:auto_awq",
        example="model.layers.0.mlp.experts.0.gate_proj.qzeros",
        source="intel/auto-round auto_round/inference/backend.py",
    ),
)


def method(checkpoint: Checkpoint, block: Mapping[str, Any]) -> Found:
    """Return the packed tensors of an AutoRound checkpoint; UnknownPacking names a format that is not read."""
    kind = block.get("data_type", "int")
    if kind != "int":
        raise refused(checkpoint, f"AutoRound's data_type {str(kind)[:60]!r} is not read", "int is")
    name = block.get("packing_format")
    found = FORMATS.get(name) if isinstance(name, str) else None
    if found is None:
        raise refused(
            checkpoint,
            f"AutoRound's packing_format {str(name)[:60]!r} is not read: it decides what a zero point is",
            f"formats that are read: {', '.join(FORMATS)}",
        )
    read, told = found
    own = {key: value for key, value in block.items() if key not in {"format", "version", "checkpoint_format"}}
    return read(checkpoint, {**own, **told})
