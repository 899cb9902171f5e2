"""Forms of a checkpoint that transformers does not write: packed, transposed, with a further head.

They are made of the layouts that make.py measured and of numpy alone; no model is built here.
"""

import hashlib
import re
from typing import Any

from tests.reference import checkpoints
from tests.reference.packing import PACKINGS

TRANSPOSED = "transposed"  # a form that transformers reads and no longer writes
WEIGHTS = "model.safetensors"
ADDED_FORMS = {*PACKINGS, "mtp"}

Record = dict[str, Any]


def added_form(record: Record, form: str) -> Record:
    """A form that transformers does not write: the layout's tensors packed, or with tensors of a further head."""
    base = next(record["forms"][name] for name in ("orig", "v5") if name in record["forms"])
    packing = PACKINGS.get(form)
    description: Record = {
        "layout": packing.layout if packing else "orig",
        "dtype": packing.dtype if packing else "F32",
        "float32": [],
        **({"integers": base["integers"]} if "integers" in base else {}),
        "reference": f"{record['model']}-{form}" if packing else record["model"],
        "config": dict(base["config"]),
        "files": {WEIGHTS: {}, "config.json": {}},
    }
    if packing:
        names = record["layouts"][packing.layout]
        description["float32"] = sorted(
            name for name, view in names.items() if view.get("from", name).endswith(packing.float32)
        )
        description["config"]["quantization_config"] = dict(packing.declared)
    else:
        description["extra"] = head_tensors(record)
        description["config"]["num_nextn_predict_layers"] = 1
    for name, data in checkpoints.render(record | {"forms": {form: description}}, form).items():
        description["files"][name]["sha256"] = hashlib.sha256(data).hexdigest()
    return description


def head_tensors(record: Record) -> Record:
    """The shapes of a multi-token-prediction head: a layer like the last, and what joins it."""
    shapes = {
        name: view.get("shape") or record["parameters"][name]["shape"]
        for name, view in record["layouts"]["orig"].items()
    }
    last = max(int(found[1]) for name in shapes if (found := re.match(r"model\.layers\.(\d+)\.", name)))
    head = {
        name.replace(f"model.layers.{last}.", f"model.layers.{last + 1}."): shape
        for name, shape in shapes.items()
        if name.startswith(f"model.layers.{last}.")
    }
    width = shapes["lm_head.weight"][1]
    prefix = f"model.layers.{last + 1}."
    joined = {"eh_proj.weight": [width, 2 * width], "enorm.weight": [width], "hnorm.weight": [width]}
    joined |= {"shared_head.head.weight": shapes["lm_head.weight"], "shared_head.norm.weight": [width]}
    return head | {prefix + name: shape for name, shape in joined.items()}


def transposed(views: Record, parameters: Record) -> Record:
    """The same tensors with the two axes of each expert exchanged: [E, in, out], as the Hub has Qwen3-VL's."""
    turned = dict(views)
    for name in views:
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            experts, rows, columns = parameters[name]["shape"]
            turned[name] = {
                "from": name,
                "shape": [experts, columns, rows],
                "offset": 0,
                "strides": [rows * columns, 1, columns],
            }
    return turned
