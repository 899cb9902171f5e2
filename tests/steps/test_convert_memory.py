"""How much memory converting DeepSeek-V4 takes: what is worked on at once, however many experts there are."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hubbot.catalogue import resolution, runtimes
from hubbot.engine.formats.kernels import FUSED_FROM
from hubbot.runtime import loading
from tests.checkpoints_on_disk import row_of
from tests.reference.checkpoints import case

CONVERT = """
import sys
from pathlib import Path
from hubbot.engine.memory import peak_resident_bytes
from hubbot.folders import Folder
from hubbot.steps.classify import classify
from hubbot.steps.convert import Bounds, convert
from hubbot.steps.inspect import inspect
from hubbot.steps.plan import plan
source, out, working = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
checkpoint = inspect(Folder(source))
made = plan(checkpoint, classify(checkpoint), ("4bit",), working_bytes=working)
bounds = Bounds(working_bytes=working, shard_bytes=1 << 30)
convert(checkpoint, made, source=source, out=out, bounds=bounds, progress=lambda *_: None)
print(peak_resident_bytes())
"""
SIZES = {"F32": 4, "BF16": 2, "I64": 8}


def sparse_source(folder: Path, experts: int, width: int) -> int:
    """Three layers, one of each kind, as transformers saves them; a file of zeros. Returns its bytes."""
    config: dict[str, Any] = case("deepseek_v4/v5").config | {
        "num_hidden_layers": 3,
        "layer_types": case("deepseek_v4/v5").config["layer_types"][:3],
        "mlp_layer_types": ["hash_moe", "moe", "moe"],
        "hidden_size": width,
        "moe_intermediate_size": width,
        "n_routed_experts": experts,
    }
    family = row_of(config)
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None
    entries, position = {}, 0
    for parameter in loading.skeleton(resolution.resolve(config, family, fields).config):
        name, shape = parameter.name, parameter.shape
        if ".switch_mlp.up_proj" in name:
            continue  # beside the gate in one tensor
        if ".switch_mlp.gate_proj" in name:
            name, shape = (
                name.replace("switch_mlp.gate_proj.weight", "experts.gate_up_proj"),
                (experts, 2 * width, width),
            )
        name = name.replace("switch_mlp.down_proj.weight", "experts.down_proj")
        if "o_a_proj" in name:
            shape = (shape[0] * shape[1], shape[2])
        dtype = "I64" if parameter.is_table else "BF16"
        stop = position + SIZES[dtype] * math.prod(shape)
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, stop]}
        position = stop
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    header = json.dumps(entries).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + position)
    return position


def peak(folder: Path, experts: int, width: int, working: int) -> tuple[int, int]:
    """Bytes of a source, and those in memory at most while it was converted in a process of its own."""
    size = sparse_source(folder / "source", experts, width)
    command = [sys.executable, "-c", CONVERT, str(folder / "source"), str(folder / "out"), str(working)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return size, int(done.stdout)


def check_bound(folder: Path, *, experts: int, width: int, working: int) -> None:
    few, little = peak(folder / "few", experts, width, working)
    many, much = peak(folder / "many", 3 * experts, width, working)
    # Both or neither are large enough for the compiled kernels, which take memory of their own.
    assert (few > FUSED_FROM) == (many > FUSED_FROM)
    # More is added than is ever worked on at once, several times over.
    assert many - few > 8 * working
    assert much - little < working


def test_three_times_the_experts_take_no_more_memory(tmp_path: Path) -> None:
    check_bound(tmp_path, experts=4, width=512, working=4 << 20)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_times_the_experts_of_a_large_model_take_no_more_memory(tmp_path: Path) -> None:
    check_bound(tmp_path, experts=32, width=1536, working=256 << 20)
