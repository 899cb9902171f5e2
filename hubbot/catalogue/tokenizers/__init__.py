"""Which files make a tokenizer, what is missing for one, and which tokenizers of code become a tokenizer.json.

Code is read as text for what it says, never run. It opens no files: `read` of a caller does.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hubbot import plain_json
from hubbot.catalogue.tokenizers import hunyuan_tokenizer, kimi_tokenizer
from hubbot.catalogue.tokenizers.tiktokens import HINT, LARGEST_VOCABULARY, Reading, ranks_of, written
from hubbot.checkpoints import FileInfo
from hubbot.errors import NeedsHuman
from hubbot.files import git_lfs
from hubbot.files.git_lfs import LARGEST_POINTER

# One of these makes a tokenizer that loads without anybody's code.
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "vocab.txt")
CONFIG = "tokenizer_config.json"
TEMPLATES = ("chat_template.jinja", "chat_template.json")
_VOCABULARIES = (kimi_tokenizer.VOCABULARY, hunyuan_tokenizer.VOCABULARY)
# Of a file no more is ever read: the largest vocabulary, and one byte that tells that it is larger.
MOST_BYTES = LARGEST_VOCABULARY + 1
# (file of the repo) -> its first MOST_BYTES bytes
Read = Callable[[str], bytes]


def is_rewritable(names: Iterable[str]) -> bool:
    """Say whether a repo with files of these names has its tokenizer as a tiktoken vocabulary only."""
    found = set(names)
    return not found & set(TOKENIZERS) and bool(found & set(_VOCABULARIES))


def files_read(names: Iterable[str]) -> tuple[str, ...]:
    """Return the files that are read and never copied where the tokenizer is rewritten: vocabulary and code."""
    found = sorted(names)
    return tuple(n for n in found if n in _VOCABULARIES or _is_code(n)) if is_rewritable(found) else ()


def check_names(names: Iterable[str]) -> None:
    """Raise NeedsHuman where the names of a repo's files already tell that its tokenizer cannot be had."""
    found = set(names)
    if found & {"tokenizer.json", "tokenizer.model", "tekken.json", "vocab.txt"} or is_rewritable(found):
        return
    if "vocab.json" in found:
        if "merges.txt" not in found:
            told = "vocab.json needs merges.txt, which the repo lacks"
            raise NeedsHuman(told, where="vocab.json", hint=f"add merges.txt; {HINT}")
        return
    foreign = sorted(name for name in found if name.endswith(".tiktoken") and "/" not in name)
    code = sorted(name for name in found if name.endswith(".py") and "tokeniz" in name.lower())
    if foreign or code:
        raise NeedsHuman(
            "the tokenizer exists only as code, which hubbot never runs",
            where=(code or foreign)[0],
            hint=f"a tested conversion to tokenizer.json has to come first; {HINT}",
        )


def check(files: Iterable[FileInfo], config: Mapping[str, Any], read: Read) -> None:
    """Raise NeedsHuman naming what stands between a repo and a tokenizer that loads; a repo without any passes.

    `config` is config.json. Reads small files, and the vocabulary where it has to be rewritten.
    """
    sizes = {file.path: file.size for file in files}
    check_names(sizes)
    for name in (*TOKENIZERS, *_VOCABULARIES, CONFIG):
        if sizes.get(name, LARGEST_POINTER + 1) <= LARGEST_POINTER and git_lfs.is_pointer(read(name)):
            raise NeedsHuman(git_lfs.named(name), where=name, hint=git_lfs.HINT)
    if is_rewritable(sizes):
        _ranks_and_reading(sizes, config, read)


def rewritten(names: Iterable[str], config: Mapping[str, Any], read: Read) -> dict[str, bytes]:
    """Return the files, by name, that stand for a tokenizer which a repo holds only as a vocabulary and code.

    Empty where there is nothing to rewrite; NeedsHuman where the code is other than is known. `config` is
    config.json.
    """
    found = set(names)
    return written(*_ranks_and_reading(found, config, read)) if is_rewritable(found) else {}


def _ranks_and_reading(
    names: Iterable[str], config: Mapping[str, Any], read: Read
) -> tuple[dict[bytes, int], Reading]:
    found = set(names)
    told = _json(read(CONFIG)) if CONFIG in found else {}
    if kimi_tokenizer.VOCABULARY in found:
        file = _code_of(found, told)
        text = read(file).decode("utf-8", errors="replace") if file else None
        ranks = ranks_of(read(kimi_tokenizer.VOCABULARY), kimi_tokenizer.VOCABULARY, by_line=False)
        model_type = str(config.get("model_type") or "")
        has_template = bool(told.get("chat_template")) or bool(found & set(TEMPLATES))
        args = (text, file or "", told, model_type, len(ranks))
        return ranks, kimi_tokenizer.read(*args, has_template=has_template)
    vocabulary, code = hunyuan_tokenizer.VOCABULARY, hunyuan_tokenizer.CODE
    if code not in found:
        raise NeedsHuman(f"{vocabulary} needs {code}, which the repo lacks", where=vocabulary, hint=HINT)
    reading = hunyuan_tokenizer.read(read(code).decode("utf-8", errors="replace"), told)
    return ranks_of(read(vocabulary), vocabulary, by_line=True), reading


def _is_code(name: str) -> bool:
    return name.startswith("tokenization_") and name.endswith(".py") and "/" not in name


def _code_of(names: set[str], told: Mapping[str, Any]) -> str | None:
    """Return the file of the tokenizer's code: the one that auto_map names, else the only one there is."""
    places = told.get("auto_map")
    place = places.get("AutoTokenizer") if isinstance(places, Mapping) else None
    first = place[0] if isinstance(place, list) and place else place
    code = sorted(name for name in names if _is_code(name))
    if isinstance(first, str):
        named = f"{first.rpartition('--')[2].partition('.')[0]}.py"
        if not _is_code(named):
            raise NeedsHuman(f"the tokenizer's code is {named[:60]}, which is not known", where=CONFIG, hint=HINT)
        if named in names:
            return named
    if len(code) > 1:
        told_of = f"nobody says whether {code[0]} or {code[1]} is the tokenizer's code"
        raise NeedsHuman(told_of, where=CONFIG, hint="auto_map in tokenizer_config.json names it")
    return code[0] if code else None


def _json(data: bytes) -> dict[str, Any]:
    try:
        told = plain_json.loads(data)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
