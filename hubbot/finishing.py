"""Everything of an MLX repo beside the weights: config.json, side files copied byte for byte, the mark.

Nothing that can run is taken over: the config is the plan's, only files of an allow-list are copied, and a model
file is hubbot's own.
"""

import fnmatch
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubbot.artifacts import Artifact
from hubbot.catalogue import extensions, tiktokens
from hubbot.checkpoints import Checkpoint, FileInfo
from hubbot.errors import NeedsHuman
from hubbot.folders import file_info
from hubbot.marks import MARK, mark
from hubbot.plans import Plan, PlannedVariant

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
CARD = "README.md"
REPORT = "report.json"
# Written after the conversion, about it; never among the files that the mark lists.
ABOUT = frozenset({MARK, CARD, REPORT})
SIDE_FILES = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "*.tiktoken", "vocab.json", "vocab.txt",
    "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "chat_template.json",
    "generation_config.json", "LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*", "COPYING*",
)  # fmt: skip
# If none of these files exists, the tokenizer is defined only by Python code in the repo.
TOKENIZERS = {"tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt"}
_DTYPE_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def side_files(checkpoint: Checkpoint) -> tuple[FileInfo, ...]:
    """Return the source's files that are copied; raises NeedsHuman where the tokenizer exists only as code."""
    names = {file.path for file in checkpoint.files}
    code = sorted(name for name in names if name.endswith(".py") and "tokeniz" in name.lower())
    if code and not names & TOKENIZERS and not tiktokens.is_rewritable(names):
        raise NeedsHuman(
            "the tokenizer exists only as code, which hubbot never runs",
            where=f"{checkpoint.repo.id}, {code[0]}",
            hint="a tested conversion to tokenizer.json has to come first",
        )
    return tuple(file for file in checkpoint.files if is_side_file(file.path))


def files_read(checkpoint: Checkpoint) -> tuple[FileInfo, ...]:
    """Return the source's files that are read as text and never copied: a tokenizer's code."""
    if not tiktokens.is_rewritable({file.path for file in checkpoint.files}):
        return ()
    return tuple(file for file in checkpoint.files if file.path == tiktokens.CODE)


def check_tokenizer(source: Path) -> None:
    """Raise NeedsHuman where folder `source` holds a tokenizer only as code that no rewriting knows."""
    code = source / tiktokens.CODE
    if code.is_file() and tiktokens.is_rewritable({path.name for path in source.iterdir()}):
        tiktokens.specials(code.read_text(encoding="utf-8", errors="replace"), _tokenizer_config(source))


def rewritten_tokenizer(source: Path) -> dict[str, bytes]:
    """Return the content by name of the files that replace a tokenizer which folder `source` holds only as code.

    It is empty where there is no such code; raises NeedsHuman where it is code that no rewriting knows.
    """
    if not tiktokens.is_rewritable({path.name for path in source.iterdir()}):
        return {}
    code, vocabulary = (source / name for name in (tiktokens.CODE, tiktokens.VOCABULARY))
    return tiktokens.rewritten(code.read_bytes(), vocabulary.read_bytes(), _tokenizer_config(source))


def _tokenizer_config(source: Path) -> dict[str, Any]:
    config = source / "tokenizer_config.json"
    try:
        told = json.loads(config.read_bytes()) if config.is_file() else {}
    except ValueError:
        told = {}
    return told if isinstance(told, dict) else {}


def finish(
    checkpoint: Checkpoint,
    plan: Plan,
    variant: PlannedVariant,
    *,
    source: Path,
    folder: Path,
    known: Mapping[str, FileInfo],
) -> Artifact:
    """Complete the repo in `folder`, which holds the weights and their index, and return it as an artifact.

    `known` are the files whose sha256 needs no second reading. Nothing is brought to the disk here: that is
    done before the folder is renamed. Raises NeedsHuman where the tokenizer exists only as unknown code.
    """
    write_json(folder / CONFIG, config_of(plan, variant))
    if plan.config.get("model_file"):
        name = plan.config["model_file"]
        (folder / name).write_bytes(extensions.content(name))
    for file in side_files(checkpoint):
        _copy_side_file(source / file.path, folder / file.path)
    for name, data in rewritten_tokenizer(source).items():
        (folder / name).write_bytes(data)
    paths = [path for path in sorted(folder.iterdir()) if path.name not in ABOUT and path.name[0] != "."]
    files = tuple(known.get(path.name) or file_info(path, path.name) for path in paths)
    write_json(folder / MARK, mark(plan, variant, files, verified=False))
    return Artifact(
        source=plan.source,
        variant=variant.name,
        path=str(folder),
        files=files,
        nbytes=variant.nbytes,
        bits_per_weight=variant.bits_per_weight,
    )


def _copy_side_file(source: Path, target: Path) -> None:
    """Copy byte for byte, except an `auto_map`, which would make a loader run code of another repo."""
    if source.name == "tokenizer_config.json":
        try:
            config = json.loads(source.read_bytes())
        except ValueError:
            config = None
        if isinstance(config, dict) and "auto_map" in config:
            write_json(target, {key: value for key, value in config.items() if key != "auto_map"})
            return
    shutil.copyfile(source, target)


def config_of(plan: Plan, variant: PlannedVariant) -> dict[str, Any]:
    """Return the variant's config.json: the plan's, with the quantization where stock mlx_lm.load reads it."""
    config = dict(plan.config)
    quantization = _quantization(plan, variant)
    if quantization:
        # mlx-lm reads the first key; the Hub's model tree reads the second.
        config["quantization"] = quantization
        config["quantization_config"] = quantization
    config["dtype"] = _DTYPE_NAMES[_main_dtype(plan, variant)]
    return dict(sorted(config.items()))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as stable, readable JSON."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _quantization(plan: Plan, variant: PlannedVariant) -> dict[str, Any] | None:
    blocks = {}
    for move in plan.moves:
        encoding = variant.encodings[move.output]
        if encoding.is_quantized:
            block = {"group_size": encoding.group_size, "bits": encoding.bits, "mode": encoding.mode}
            if encoding.global_scale:
                block["global_scale"] = True
            blocks[move.output.removesuffix(".weight")] = (move.role, block)
    if not blocks:
        return None
    default = next((block for role, block in blocks.values() if role == "expert"), next(iter(blocks.values()))[1])
    # The top-level block takes no global_scale: that is a property of single layers.
    top = {key: value for key, value in default.items() if key != "global_scale"}
    return {**top, **{path: block for path, (_, block) in blocks.items() if block != top}}


def _main_dtype(plan: Plan, variant: PlannedVariant) -> str:
    # The dtype of the activations follows that of the norms, which every variant keeps unquantized.
    norms = [variant.encodings[move.output].dtype for move in plan.moves if move.role == "norm"]
    return norms[0] if norms and norms[0] in _DTYPE_NAMES else "BF16"


def is_side_file(name: str) -> bool:
    """Say whether a file of that name is taken over from the source."""
    return "/" not in name and any(fnmatch.fnmatchcase(name, pattern) for pattern in SIDE_FILES)
