"""Writes a numbered twin to disk: config.json and one safetensors file that holds element numbers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubbot.checks.tracer.element_ids import Numbering
from hubbot.checks.tracer.numbered_twin import SHARD, Twin


def write_twin(twin: Twin, numbering: Numbering, number: int, folder: Path) -> Path:
    """Write the twin under numbering `number` into `folder` and return it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(twin.checkpoint.config), encoding="utf-8")
    header = json.dumps(_header(twin)).encode()
    with (folder / SHARD).open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name, values in numbering.tensors(number):
            is_table = twin.checkpoint.tensors[name].dtype == "I64"
            file.write(values.astype("<i8" if is_table else "<f4").tobytes())
    return folder


def _header(twin: Twin) -> Mapping[str, Any]:
    return {
        info.name: {"dtype": info.dtype, "shape": list(info.shape), "data_offsets": [info.start, info.end]}
        for info in twin.checkpoint.tensors.values()
    }
