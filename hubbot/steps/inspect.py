"""Look at a checkpoint without its weights: config.json, the card's front matter, and its files' headers.

Two small reads per shard at most, whether the files are in a folder or on the Hub. It judges nothing but format.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hubbot.catalogue import packings, tokenizers
from hubbot.catalogue.configs.nesting import without_voice
from hubbot.catalogue.packings.sidecars import SIDECARS, described
from hubbot.checkpoints import Checkpoint, RepoFiles, TensorInfo
from hubbot.errors import CorruptConfig, CorruptHeader, NeedsHuman, RepoMissing, WrongUsage
from hubbot.files.git_lfs import HINT, LARGEST_POINTER, is_pointer, named
from hubbot.finishing import CARD, CONFIG, is_side_file
from hubbot.folders import Folder
from hubbot.headers import LENGTH_BYTES, header_length, parse_header
from hubbot.pickles.outlines import outline
from hubbot.sources.front_matter import FrontMatter, read
from hubbot.sources.licences import is_licence_file
from hubbot.sources.pickle_files import is_pickled
from hubbot.sources.weight_files import (
    Index,
    check_index,
    json_object,
    refuse_link,
    refuse_no_checkpoint,
    weight_files,
)
from hubbot.sources.weight_sets import compare_sets

MAX_CARD_BYTES = 1 << 20
# One read of this size holds the whole header of most shards. Where an index tells that a header is longer, the
# first read is: beside its name a tensor takes dtype, shape and two offsets, in fewer bytes than these.
FIRST_READ = 128 << 10
ENTRY_BYTES = 128
LARGEST_FIRST_READ = 4 << 20
CONNECTIONS = 8
PICKLED = (".bin", ".pt", ".pth")


def inspect(files: RepoFiles) -> Checkpoint:
    """Return what `files` hold, without weights.

    Raises what `weight_files` raises, CorruptConfig, CorruptHeader or UnknownPacking, and names a Git LFS pointer
    wherever a conversion would read or copy one.
    """
    sizes = {file.path: file.size for file in files.files}
    _check_config(files, sizes)
    config = dict(without_voice(json_object(files, CONFIG, sizes[CONFIG])))
    found = weight_files(files, config)
    tensors = _tensors(files, sizes, found.shards, _header_sizes(found.index))
    notes = [*found.notes]
    if found.index is not None:
        notes += check_index(found.index, tensors, config)
    if found.others:
        others = _tensors(files, sizes, found.others, {})
        notes.append(compare_sets(files, found, tensors, others, config))
    config = _described(files, sizes, config, tensors)
    card = _front_matter(files, sizes)
    _check_side_files(files)
    fault = _tokenizer_fault(files, sizes, config)
    return Checkpoint(
        repo=files.repo,
        config=config,
        card=card.data,
        card_problem=card.problem,
        files=files.files,
        tensors=tensors,
        gated=files.gated,
        private=files.private,
        requests=files.requests,
        bytes_read=files.bytes_read,
        notes=tuple(notes),
        tokenizer_fault=fault,
    )


def tensors_of_file(path: Path) -> tuple[TensorInfo, ...]:
    """Return the tensors of one weight file of this machine in the order of their names, without a weight.

    It reads .safetensors, and PyTorch's .bin, .pt and .pth where torch is installed. Raises RepoMissing where
    there is no such file, WrongUsage for one of another kind, and CorruptHeader, UnsafePickle or UnknownPacking.
    """
    if not path.is_file():
        raise RepoMissing("there is no such file", where=str(path))
    # A file of the Hub's cache is a link to a name without an ending: what it is, its own name says.
    real = path.resolve()
    if path.suffix == ".safetensors":
        tensors = _safetensors_header(Folder(real.parent), real.name, real.stat().st_size, FIRST_READ)
    elif path.suffix in PICKLED:
        with path.open("rb") as opened:
            _refuse_pointer(Folder(real.parent), path.name, opened.read(LARGEST_POINTER))
        tensors = outline(Folder(real.parent), real.name, real.stat().st_size)
    else:
        raise WrongUsage(
            f"a file of tensors ends in .safetensors or {', '.join(PICKLED)}",
            where=str(path),
            hint="give such a file, a folder or a repo id",
        )
    return tuple(tensors[name] for name in sorted(tensors))


def _check_config(files: RepoFiles, sizes: Mapping[str, int]) -> None:
    """Raise unless there is a config.json; a folder without one says what it is instead."""
    if CONFIG in files.links:
        refuse_link(files, CONFIG)
    if CONFIG not in sizes:
        refuse_no_checkpoint(files, "there is no config.json, so this is no checkpoint")


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
    told = {name: json_object(files, name, sizes[name]) for name in beside}
    found = described(declared, told, files.repo.id)
    return config if found == declared else {**config, "quantization_config": dict(found)}


def _check_side_files(files: RepoFiles) -> None:
    """Raise for a file beside the weights that is a link or a Git LFS pointer: now, not after the work."""
    for link in files.links:
        # A licence that is a link is left behind; without its tokenizer a model is none.
        if is_side_file(link):
            refuse_link(files, link)
    paths = [file.path for file in files.files]
    taken = {path for path in paths if is_side_file(path) or is_licence_file(path)}
    taken.update(tokenizers.files_read(paths))
    # What the Hub keeps by its sha256 it has: only small files that it keeps in git can be pointers.
    small = [
        file.path
        for file in files.files
        if file.path in taken and file.sha256 is None and file.size <= LARGEST_POINTER
    ]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        beginnings = pool.map(lambda path: files.read(path, 0, LARGEST_POINTER), small)
    for path, data in zip(small, beginnings, strict=True):
        if is_pointer(data):
            raise CorruptConfig(named(path), where=files.repo.id, hint=HINT)


def _header_sizes(index: Index | None) -> Mapping[str, int]:
    """Return for each shard of the index about how many bytes its header takes, at most."""
    found: dict[str, int] = defaultdict(int)
    for name, shard in index.weight_map.items() if index else ():
        found[shard] += len(name) + ENTRY_BYTES
    return found


def _tensors(
    files: RepoFiles, sizes: Mapping[str, int], shards: Sequence[str], expected: Mapping[str, int]
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
    if not is_pickled(shard):
        return _safetensors_header(files, shard, size, first_read)
    _refuse_pointer(files, shard, files.read(shard, 0, min(size, LARGEST_POINTER)))
    return outline(files, shard, size)


def _refuse_pointer(files: RepoFiles, shard: str, beginning: bytes) -> None:
    if is_pointer(beginning):
        raise CorruptHeader(named(shard), where=files.repo.id, hint=HINT)


def _safetensors_header(files: RepoFiles, shard: str, size: int, first_read: int) -> dict[str, TensorInfo]:
    first = files.read(shard, 0, min(size, first_read))
    _refuse_pointer(files, shard, first)
    length = header_length(first, file_size=size, shard=shard)
    header = first[LENGTH_BYTES : LENGTH_BYTES + length]
    if len(header) < length:
        header += files.read(shard, LENGTH_BYTES + len(header), LENGTH_BYTES + length)
    if len(header) < length:
        raise CorruptHeader(f"the header ends after {len(header)} of {length} bytes", where=shard)
    return parse_header(header, file_size=size, shard=shard)


def _front_matter(files: RepoFiles, sizes: Mapping[str, int]) -> FrontMatter:
    """Return the card's metadata; a card that cannot be read says nothing about the weights."""
    if CARD in files.links:
        return FrontMatter(data={}, problem=f"{CARD} is a link {files.links[CARD]}, which is not followed")
    if CARD not in sizes:
        return FrontMatter(data={}, problem=None)
    card = files.read(CARD, 0, min(sizes[CARD], MAX_CARD_BYTES))
    return FrontMatter(data={}, problem=named(CARD)) if is_pointer(card) else read(card)
