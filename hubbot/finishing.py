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

from hubbot import plain_json
from hubbot.artifacts import Artifact, Report
from hubbot.catalogue import extensions, tokenizers
from hubbot.checkpoints import Checkpoint, FileInfo
from hubbot.errors import CorruptConfig
from hubbot.folders import file_info
from hubbot.marks import MARK, mark, read_mark
from hubbot.plans import Plan, PlannedVariant
from hubbot.sources.licences import licence_files

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
CARD = "README.md"
REPORT = "report.json"
# The entry of report.json that changes only when the card says something new.
CARD_FACTS = "card_facts"
# The entry that names the pictures drawn for the card: one of such a name that it does not list is somebody's own.
DRAWN = "pictures"
PICTURES = ("plots/variants.png", "plots/layers.png", "plots/experts.png")
# Written after the conversion, about it; never among the files that the mark lists.
ABOUT = frozenset({MARK, CARD, REPORT, *PICTURES})
# The one folder of side files: chat templates beside the usual one, as transformers stores them.
TEMPLATES = "additional_chat_templates"
SIDE_FILES = (
    *tokenizers.TOKENIZERS, "tokenizer_config.json", "tokenizer.model.v*", "*.tiktoken", "merges.txt",
    "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "chat_template.json",
    f"{TEMPLATES}/*.jinja", "generation_config.json",
)  # fmt: skip
# What prepares images, of a model that sees.
PROCESSORS = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
_DTYPE_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def side_files(checkpoint: Checkpoint, *, sees: bool = True) -> tuple[FileInfo, ...]:
    """Return the source's files that are copied, licences among them, and what an artifact that `sees` needs.

    Raises NeedsHuman where the tokenizer exists only as code.
    """
    tokenizers.check_names(file.path for file in checkpoint.files)
    licences = licence_files(checkpoint.repo.id, checkpoint.card, checkpoint.files)
    return tuple(file for file in checkpoint.files if is_side_file(file.path, sees=sees) or file in licences)


def files_read(checkpoint: Checkpoint) -> tuple[FileInfo, ...]:
    """Return the source's files that are read and never copied: a tokenizer's vocabulary and code."""
    names = tokenizers.files_read(file.path for file in checkpoint.files)
    return tuple(file for file in checkpoint.files if file.path in names)


def check_tokenizer(source: Path) -> None:
    """Raise NeedsHuman naming what stands between folder `source` and a tokenizer that loads."""
    files = [FileInfo(path=path.name, size=path.stat().st_size) for path in source.iterdir() if path.is_file()]
    tokenizers.check(files, _config(source), _reader(source))


def rewritten_tokenizer(source: Path) -> dict[str, bytes]:
    """Return the content by name of the files that replace a tokenizer which folder `source` holds only as code.

    It is empty where there is no such code; raises NeedsHuman where it is code that no rewriting knows.
    """
    names = [path.name for path in source.iterdir() if path.is_file()]
    return tokenizers.rewritten(names, _config(source), _reader(source))


def _reader(source: Path) -> tokenizers.Read:
    def read(name: str) -> bytes:
        with (source / name).open("rb") as file:
            return file.read(tokenizers.MOST_BYTES)

    return read


def _config(source: Path) -> dict[str, Any]:
    path = source / CONFIG
    try:
        told = plain_json.loads(path.read_bytes()) if path.is_file() else {}
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
    for file in side_files(checkpoint, sees=plan.sees):
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        _copy_side_file(source / file.path, folder / file.path)
    for name, data in rewritten_tokenizer(source).items():
        (folder / name).write_bytes(data)
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    paths = [path for path in paths if path not in ABOUT and path[0] != "."]
    files = tuple(known.get(path) or file_info(folder / path, path) for path in paths)
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
    if source.name in ("tokenizer_config.json", *PROCESSORS):
        try:
            config = plain_json.loads(source.read_bytes())
        except ValueError as error:
            # A loader that reads more than hubbot does would find an `auto_map` in it.
            raise CorruptConfig(f"the file is not valid JSON: {error}", where=source.name) from error
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


def record(report: Report) -> None:
    """Set `verified` in hubbot.json of an approved artifact; an artifact without that file is left as it is."""
    folder = Path(report.artifact.path)
    found = read_mark(folder)
    if found is not None:
        write_json(folder / MARK, {**found, "verified": report.verdict == "approved"})


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


def is_side_file(name: str, *, sees: bool = True) -> bool:
    """Say whether a file of that name is taken over from the source, whatever its card says.

    Files that prepare images are, for an artifact that `sees`.
    """
    taken = (*SIDE_FILES, *PROCESSORS) if sees else SIDE_FILES
    alike = (pattern for pattern in taken if pattern.count("/") == name.count("/"))
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in alike)


def stored_names(folder: Path) -> list[str]:
    """Return the files of an MLX repo or a checkpoint that stand where side files do, sorted by name."""
    places = (folder, folder / TEMPLATES)
    found = [path for place in places if place.is_dir() for path in place.iterdir() if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in found)
