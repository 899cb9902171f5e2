"""A checkpoint that looks pickled, and a staging that needs no torch."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hubbot.checkpoints import Checkpoint, FileInfo
from hubbot.conversion.workspace import Workspace
from tests.reference.checkpoints import case, write

PICKLE = "pytorch_model.bin"
WEIGHTS = "model.safetensors"


def pickled_folder(folder: Path) -> Path:
    """Write a checkpoint whose one weight file has a pickle's name; its bytes stay those of safetensors."""
    write(case("qwen3_moe/hub"), folder)
    (weights,) = folder.glob("*.safetensors")
    weights.rename(folder / PICKLE)
    (folder / "tokenizer.json").write_text("{}")
    return folder


def as_pickled(checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    """Return `checkpoint`, read from safetensors, as inspect would describe its pickled twin in `folder`."""
    tensors = {name: replace(tensor, shard=PICKLE) for name, tensor in checkpoint.tensors.items()}
    files = tuple(
        FileInfo(path=path.name, size=path.stat().st_size) for path in sorted(folder.iterdir()) if path.is_file()
    )
    return replace(checkpoint, tensors=tensors, files=files)


def stage(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what child_stages.stage does, for a pickle that holds safetensors' bytes."""
    workspace = Workspace.from_request(request)
    checkpoint = workspace.checkpoint()
    workspace.source.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(request["pickles"]) / PICKLE, workspace.source / WEIGHTS)
    tensors = {name: replace(tensor, shard=WEIGHTS) for name, tensor in checkpoint.tensors.items()}
    workspace.save("checkpoint", replace(checkpoint, tensors=tensors).to_json())
    return {"tensors": len(tensors)}
