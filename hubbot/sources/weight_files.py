"""Which files of a repo are its weights, decided as transformers decides it.

Source: transformers 5.24, modeling_utils._get_resolved_checkpoint_files. It reads indexes, never a weight.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from hubbot import plain_json
from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.catalogue.tensors import drop_reason
from hubbot.checkpoints import RepoFiles, TensorInfo
from hubbot.errors import AmbiguousLayout, CorruptConfig, CorruptHeader, IncompleteCover, NotMixtureOfExperts
from hubbot.files.git_lfs import HINT, is_pointer, named
from hubbot.sources import leftovers, pickle_files

ONE_FILE = "model.safetensors"
INDEX = f"{ONE_FILE}.index.json"
MAX_JSON_BYTES = 64 << 20
# A file of a numbered series, as save_pretrained names it.
_SERIES = re.compile(r"(?:model|pytorch_model)(?:\.[\w-]+)?-(\d{5})-of-(\d{5})\.safetensors", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What an index file says: which tensor is in which weight file."""

    file: str
    weight_map: Mapping[str, str]

    @property
    def shards(self) -> tuple[str, ...]:
        """Return the files that the index names, sorted."""
        return tuple(sorted(set(self.weight_map.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """The files to read, and the index if one led to them.

    `others` are a second set of weights beside them, led to by `others_index`; `notes` say what was passed over.
    """

    shards: tuple[str, ...]
    index: Index | None = None
    others: tuple[str, ...] = ()
    others_index: str | None = None
    notes: tuple[str, ...] = ()


def weight_files(files: RepoFiles, config: Mapping[str, Any]) -> WeightFiles:
    """Return the weight files that transformers would read.

    Raises NotMixtureOfExperts where there are none, naming what is there instead; IncompleteCover for links out
    of the folder, CorruptHeader for a file that is missing, CorruptConfig for a broken index.
    """
    sizes = {file.path: file.size for file in files.files}
    for link in files.links:
        if link in {ONE_FILE, INDEX} or _SERIES.fullmatch(link):
            refuse_link(files, link)
    told = config.get("transformers_weights")
    if told is not None:
        return _told(files, told, sizes, config)
    if ONE_FILE in sizes:
        return _one_file(files, sizes)
    if INDEX in sizes:
        return _indexed(files, INDEX, sizes, config)
    series = tuple(name for name in sorted(sizes) if _SERIES.fullmatch(name))
    if series:
        _check_series(series)
        return WeightFiles(shards=series)
    pickled = pickle_files.pickled(files.files)
    if pickled:
        return _pickled(files, pickled, sizes, config)
    return WeightFiles(shards=_any(files, sizes))


def refuse_link(files: RepoFiles, path: str) -> NoReturn:
    """Raise IncompleteCover for a link of the folder that is not followed."""
    raise IncompleteCover(
        f"{path!r} is a link {files.links[path]}, which is not followed",
        where=files.repo.id,
        hint="copy the files instead of links (`cp -rL DIR COPY`), or give the snapshot folder of the Hub's cache "
        "(models--owner--name/snapshots/COMMIT)",
    )


def _told(files: RepoFiles, told: object, sizes: Mapping[str, int], config: Mapping[str, Any]) -> WeightFiles:
    """Return the files that the config's own transformers_weights names."""
    if (
        not isinstance(told, str)
        or told not in sizes
        or not told.endswith((".safetensors", ".safetensors.index.json"))
    ):
        raise CorruptConfig(
            f"transformers_weights = {str(told)[:80]!r} names no safetensors file or index of the repo",
            where="config.json",
            hint="name a file that is there, or take the key out: then model.safetensors or its index is read",
        )
    if told.endswith(".index.json"):
        return _indexed(files, told, sizes, config)
    return WeightFiles(shards=(told,), notes=(f"{told} is read: config.json says so in transformers_weights",))


def _one_file(files: RepoFiles, sizes: Mapping[str, int]) -> WeightFiles:
    """Return model.safetensors, with the set of shards beside it if there is one."""
    if INDEX not in sizes:
        return WeightFiles(
            shards=(ONE_FILE,), others=tuple(name for name in sorted(sizes) if _SERIES.fullmatch(name))
        )
    index = read_index(files, INDEX, sizes)
    if ONE_FILE in index.shards:
        missing = [name for name in index.shards if name not in sizes]
        if missing:
            raise _missing(index, missing)
        return WeightFiles(shards=index.shards, index=index)
    others = tuple(name for name in index.shards if name in sizes)
    if others:
        return WeightFiles(shards=(ONE_FILE,), others=others, others_index=INDEX)
    gone = (
        f"{INDEX} names {len(index.shards)} files that are not here; {ONE_FILE} is read, as transformers reads it"
    )
    return WeightFiles(shards=(ONE_FILE,), notes=(gone,))


def _indexed(files: RepoFiles, file: str, sizes: Mapping[str, int], config: Mapping[str, Any]) -> WeightFiles:
    """Return the shards of an index; those of which nothing would be taken over may be missing."""
    index = read_index(files, file, sizes)
    for shard in index.shards:
        if shard in files.links:
            refuse_link(files, shard)
    missing = [name for name in index.shards if name not in sizes]
    idle = [name for name, shard in index.weight_map.items() if shard in missing and reason(name, config)]
    needed = {shard for name, shard in index.weight_map.items() if shard in missing and not reason(name, config)}
    if needed:
        raise _missing(index, sorted(needed))
    shards = tuple(name for name in index.shards if name in sizes)
    notes = tuple(
        f"{file} names {name}, which is not here: {_and_more(idle)} would be left out" for name in missing[:1]
    )
    return WeightFiles(shards=shards, index=index, notes=notes)


def _missing(index: Index, missing: Sequence[str]) -> CorruptHeader:
    return CorruptHeader(
        f"the index names {missing[0]!r}, which is not in the repo ({len(missing)} shards missing)",
        where=index.file,
        hint="the download or the upload is incomplete: fetch the files anew, or wait for a new commit",
    )


def _check_series(series: Sequence[str]) -> None:
    """Raise CorruptHeader where numbered files of a series without an index are not all there."""
    matches = [found for name in series if (found := _SERIES.fullmatch(name))]
    counts, numbers = {int(found[2]) for found in matches}, {int(found[1]) for found in matches}
    if len(counts) > 1:
        return  # two series; whether their tensors fit together is seen in the headers
    # Some tools count from 0. No more numbers are looked at than there are files, whatever a name claims.
    count, first = counts.pop(), min(numbers | {1})
    gap = next((n for n in range(first, first + min(count, len(series) + 1)) if n not in numbers), None)
    if gap is not None:
        name = re.sub(r"-\d{5}-of-", f"-{gap:05d}-of-", series[0])
        raise CorruptHeader(
            f"{name!r} is not in the repo: {len(series)} of {count} weight files are there, and no index",
            where=series[0],
            hint="the download or the upload is incomplete: fetch the files anew",
        )


def _pickled(
    files: RepoFiles, pickled: tuple[str, ...], sizes: Mapping[str, int], config: Mapping[str, Any]
) -> WeightFiles:
    if pickle_files.ONE_FILE in sizes and len(pickled) > 1:
        raise AmbiguousLayout(
            f"two sets of pickled weights are here, {pickle_files.ONE_FILE} and {pickled[0]} to {pickled[-2]}",
            where=files.repo.id,
            hint=f"transformers reads {pickle_files.ONE_FILE}: take the set away that is not meant",
        )
    if pickle_files.ONE_FILE not in sizes and pickle_files.INDEX in sizes:
        return _indexed(files, pickle_files.INDEX, sizes, config)
    return WeightFiles(shards=pickled)


def _any(files: RepoFiles, sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Return the safetensors files under names of their own, or raise NotMixtureOfExperts saying what is there."""
    names = [name for name in sorted(sizes) if name.endswith(".safetensors") and "/" not in name]
    names = [name for name in names if not name.startswith(("adapter_", "optimizer"))]
    links = [path for path in files.links if path.endswith((".safetensors", ".bin")) and "/" not in path]
    if not names and links:
        refuse_link(files, links[0])
    if not names:
        refuse_no_checkpoint(files, "the repo holds no safetensors weights")
    return tuple(names)


def refuse_no_checkpoint(files: RepoFiles, otherwise: str) -> NoReturn:
    """Raise NotMixtureOfExperts with what the repo holds in place of a checkpoint, else with `otherwise`."""
    found = leftovers.of_files(file.path for file in files.files)
    if found is None:
        raise NotMixtureOfExperts(otherwise, where=files.repo.id)
    path, row = found
    what = f"this is {row.what} ({path})"
    base = _base_of_adapter(files, path)
    raise NotMixtureOfExperts(f"{what}, made for {base}" if base else what, where=files.repo.id, hint=row.way_out)


def _base_of_adapter(files: RepoFiles, path: str) -> str | None:
    size = next((file.size for file in files.files if file.path == leftovers.ADAPTER_CONFIG), None)
    if not path.startswith("adapter_") or size is None or size > MAX_JSON_BYTES:
        return None
    try:
        config = plain_json.loads(files.read(leftovers.ADAPTER_CONFIG, 0, size))
    except ValueError:
        return None
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    return base[:96] if isinstance(base, str) and base.isprintable() else None


def json_object(files: RepoFiles, path: str, size: int) -> dict[str, Any]:
    """Return a JSON file of the repo that has to be an object; CorruptConfig where it is none."""
    if size > MAX_JSON_BYTES:
        raise CorruptConfig(f"the file has {size} bytes, more than {MAX_JSON_BYTES}", where=path)
    data = files.read(path, 0, size)
    if is_pointer(data):
        raise CorruptConfig(named(path), where=files.repo.id, hint=HINT)
    try:
        value = plain_json.loads(data)
    except ValueError as error:
        hint = "the repo's owner has to mend it"
        raise CorruptConfig(f"the file is not valid JSON: {error}", where=path, hint=hint) from error
    if not isinstance(value, dict):
        raise CorruptConfig("the file is not a JSON object", where=path)
    return value


def read_index(files: RepoFiles, file: str, sizes: Mapping[str, int]) -> Index:
    """Return an index file; CorruptConfig where it is none."""
    weight_map = json_object(files, file, sizes[file]).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        raise CorruptConfig("weight_map is not a map from tensor to file name", where=file)
    return Index(file=file, weight_map=weight_map)


def check_index(index: Index, tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a note on each harmless difference between index and shards; CorruptHeader where a tensor is lost.

    Loaders read every tensor of every file that the index names, wherever the index puts it.
    """
    lost = [name for name in index.weight_map if name not in tensors]
    needed = next((name for name in lost if not reason(name, config)), None)
    if needed is not None:
        told = f"the index puts {needed!r} into {index.weight_map[needed]}, but no shard holds it"
        hint = "the shards are not those that the index was written for: fetch the files anew"
        raise CorruptHeader(told, where=index.file, hint=hint)
    if lost:
        yield f"{index.file} names {_and_more(lost)}, which no shard holds and which would be left out"
    extra = [name for name in tensors if name not in index.weight_map]
    if extra:
        yield f"{index.file} omits {_and_more(extra)}, found in {tensors[extra[0]].shard}, which it names"
    moved = [name for name, shard in index.weight_map.items() if name in tensors and tensors[name].shard != shard]
    if moved:
        yield f"{index.file} puts {_and_more(moved)} into another file; {tensors[moved[0]].shard} holds it"


def reason(name: str, config: Mapping[str, Any]) -> str | None:
    """Return why a tensor would be left out, or None where it is needed or unknown."""
    family = BY_MODEL_TYPE.get(str(config.get("model_type") or ""))
    told = {key: family.defaults[key] for key in ("tie_word_embeddings",) if family and key in family.defaults}
    return drop_reason(name, {**told, **config})


def _and_more(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]!r}{more}" if names else "what it names there"
