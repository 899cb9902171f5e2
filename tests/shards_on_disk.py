"""One weight file cut into several, as large checkpoints come."""

import json
import math
from pathlib import Path

from tests.checkpoints_on_disk import read_stored, safetensors


def in_shards(folder: Path, count: int) -> None:
    """Spread the tensors of a checkpoint over `count` files, in the order of their names."""
    stored = read_stored(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)
    names = sorted(stored)
    step = math.ceil(len(names) / count)
    weight_map = {}
    for number in range(count):
        part = names[number * step : (number + 1) * step]
        file = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
        (folder / file).write_bytes(safetensors({name: stored[name] for name in part}))
        weight_map.update(dict.fromkeys(part, file))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
