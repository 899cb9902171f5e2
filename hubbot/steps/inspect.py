"""Look at a checkpoint without its weights: config.json, the card's front matter, and its files' headers.

Two small reads per shard at most, whether the files are in a folder or on the Hub. It judges nothing but format.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import yaml

from hubbot.catalogue import packings, tokenizers
from hubbot.catalogue.packings.sidecars import SIDECARS, described
from hubbot.checkpoints import Checkpoint, RepoFiles, TensorInfo
from hubbot.errors import CorruptConfig, CorruptHeader, NeedsHuman, NotMixtureOfExperts
from hubbot.finishing import CARD, CONFIG, INDEX
from hubbot.headers import LENGTH_BYTES, header_length, parse_header
from hubbot.pickles import pickle_files as pickles
from hubbot.pickles.outlines import outline

MAX_JSON_BYTES = 64 << 20
MAX_CARD_BYTES = 1 << 20
# One read of this size holds the whole header of most shards. Where an index tells that a header is longer, the
# first read is: beside its name a tensor takes dtype, shape and two offsets, in fewer bytes than these.
FIRST_READ = 128 << 10
ENTRY_BYTES = 128
LARGEST_FIRST_READ = 4 << 20
CONNECTIONS = 8


def inspect(files: RepoFiles) -> Checkpoint:
    """Return what `files` hold, without weights; raises CorruptConfig, CorruptHeader or UnknownPacking."""
    sizes = {file.path: file.size for file in files.files}
    if CONFIG not in sizes:
        raise NotMixtureOfExperts("there is no config.json, so this is no checkpoint", where=files.repo.id)
    config = _object(files, CONFIG, sizes[CONFIG])
    index, shards = _shards(files, sizes)
    tensors = _tensors(files, sizes, shards, _header_sizes(index))
    config = _described(files, sizes, config, tensors)
    if index is not None:
        _check_index(index, tensors)
    fault = _tokenizer_fault(files, sizes, config)
    return Checkpoint(
        repo=files.repo,
        config=config,
        card=_front_matter(files, sizes),
        files=files.files,
        tensors=tensors,
        gated=files.gated,
        private=files.private,
        requests=files.requests,
        bytes_read=files.bytes_read,
        tokenizer_fault=fault,
    )


def _tokenizer_fault(
    files: RepoFiles, sizes: Mapping[str, int], config: Mapping[str, Any]
) -> tuple[str, str | None, str | None] | None:
    """Return what stands between the repo and a tokenizer that loads: what is refused later, it is known now."""
    try:
        tokenizers.check(
            files.files, config, lambda name: files.read(name, 0, min(sizes[name], tokenizers.MOST_BYTES))
        )
    except NeedsHuman as error:
        return error.message, error.where, error.hint
    return None


def _described(
    files: RepoFiles, sizes: Mapping[str, int], config: dict[str, Any], tensors: Mapping[str, TensorInfo]
) -> dict[str, Any]:
    """Return config.json, with the quantization of packed tensors that a file of its own may describe."""
    beside = [name for name in SIDECARS if name in sizes]
    if not beside or not packings.signs(tensors.values()):
        return config
    declared = packings.quantization(config)
    told = {name: _object(files, name, sizes[name]) for name in beside}
    found = described(declared, told, files.repo.id)
    return config if found == declared else {**config, "quantization_config": dict(found)}


def _object(files: RepoFiles, path: str, size: int) -> dict[str, Any]:
    if size > MAX_JSON_BYTES:
        raise CorruptConfig(f"the file has {size} bytes, more than {MAX_JSON_BYTES}", where=path)
    try:
        value = json.loads(files.read(path, 0, size))
    except (ValueError, RecursionError) as error:
        hint = "the repo's owner has to mend it"
        raise CorruptConfig(f"the file is not valid JSON: {error}", where=path, hint=hint) from error
    if not isinstance(value, dict):
        raise CorruptConfig("the file is not a JSON object", where=path)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """What an index file says: which tensor is in which weight file."""

    file: str
    weight_map: Mapping[str, str]


def _shards(files: RepoFiles, sizes: Mapping[str, int]) -> tuple[_Index | None, list[str]]:
    """Return the index, if there is one, and the weight files that a loader would read."""
    pickled = pickles.pickled(files.files)
    file = INDEX if INDEX in sizes else pickles.INDEX if pickled and pickles.INDEX in sizes else None
    if file is not None:
        index = _index(files, file, sizes)
        return index, sorted(set(index.weight_map.values()))
    names = sorted(name for name in sizes if name.endswith(".safetensors") and "/" not in name)
    if "model.safetensors" in names:
        names = ["model.safetensors"]
    if not names and not pickled:
        raise NotMixtureOfExperts("the repo holds no safetensors weights", where=files.repo.id)
    return None, names or list(pickled)


def _index(files: RepoFiles, file: str, sizes: Mapping[str, int]) -> _Index:
    weight_map = _object(files, file, sizes[file]).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        raise CorruptConfig("weight_map is not a map from tensor to file name", where=file)
    missing = sorted(name for name in set(weight_map.values()) if name not in sizes)
    if missing:
        raise CorruptHeader(
            f"the index names {missing[0]!r}, which is not in the repo ({len(missing)} shards missing)",
            where=file,
            hint="the upload is incomplete; look again when the repo has a new commit",
        )
    return _Index(file=file, weight_map=weight_map)


def _header_sizes(index: _Index | None) -> Mapping[str, int]:
    """Return for each shard of the index about how many bytes its header takes, at most."""
    found: dict[str, int] = defaultdict(int)
    for name, shard in index.weight_map.items() if index else ():
        found[shard] += len(name) + ENTRY_BYTES
    return found


def _tensors(
    files: RepoFiles, sizes: Mapping[str, int], shards: list[str], expected: Mapping[str, int]
) -> dict[str, TensorInfo]:
    def look(shard: str) -> dict[str, TensorInfo]:
        # Somebody's index may claim anything: it never makes hubbot read much in vain.
        first = min(max(FIRST_READ, expected.get(shard, 0)), LARGEST_FIRST_READ)
        return _header(files, shard, sizes[shard], first)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        headers = list(pool.map(look, shards))
    tensors: dict[str, TensorInfo] = {}
    for header in headers:
        for name, tensor in header.items():
            if name in tensors:
                raise CorruptHeader(
                    f"tensor {name!r} stands in two shards, {tensors[name].shard} and {tensor.shard}",
                    where=files.repo.id,
                    hint="nobody can say which of the two is meant",
                )
            tensors[name] = tensor
    return tensors


def _header(files: RepoFiles, shard: str, size: int, first_read: int) -> dict[str, TensorInfo]:
    if pickles.is_pickled(shard):
        return outline(files, shard, size)
    first = files.read(shard, 0, min(size, first_read))
    length = header_length(first, file_size=size, shard=shard)
    header = first[LENGTH_BYTES : LENGTH_BYTES + length]
    if len(header) < length:
        header += files.read(shard, LENGTH_BYTES + len(header), LENGTH_BYTES + length)
    if len(header) < length:
        raise CorruptHeader(f"the header ends after {len(header)} of {length} bytes", where=shard)
    return parse_header(header, file_size=size, shard=shard)


def _check_index(index: _Index, tensors: Mapping[str, TensorInfo]) -> None:
    for name, shard in index.weight_map.items():
        found = tensors.get(name)
        if found is None or found.shard != shard:
            place = f"it is in {found.shard}" if found else "no shard holds it"
            raise CorruptHeader(f"the index puts {name!r} into {shard}, but {place}", where=index.file)
    extra = next((name for name in tensors if name not in index.weight_map), None)
    if extra is not None:
        told = f"{tensors[extra].shard} holds {extra!r}, which the index does not name"
        raise CorruptHeader(told, where=index.file)


def _front_matter(files: RepoFiles, sizes: Mapping[str, int]) -> dict[str, Any]:
    if CARD not in sizes:
        return {}
    text = files.read(CARD, 0, min(sizes[CARD], MAX_CARD_BYTES)).decode("utf-8", "replace")
    if not text.startswith("---\n"):
        return {}
    block = text[4:].partition("\n---")[0]
    try:
        # A broken card says nothing about the weights: it only leaves licence and tags unknown.
        value = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}
