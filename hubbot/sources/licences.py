"""Which files of a repo hold its terms of use: the licence-like, and what the card's license_link names.

It knows paths and sizes, reads no file, and never takes what can run.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from hubbot.checkpoints import FileInfo

LARGEST = 16 << 20
# A word begins where no letter stands before it, or behind the last of a name's smaller parts: ModelLicense.
_WORDS = re.compile(
    r"(?i:(?:^|[^a-z])(?:un)?licen[cs]e|(?:^|[^a-z])(?:notice|copying|copyright|eula|patents|legal)"
    r"|(?:^|[^a-z])terms(?:$|[^a-z])|terms[-_ .]?of|use[-_ .]?policy|acceptable[-_ .]?use"
    r"|(?:^|[^a-z])(?:open)?rail(?:$|[^a-z]))"
    r"|[a-z]Licen[cs]e|(?i:(?:model|community|user|software)licen[cs]e)"
    # "licence", "agreement", "grant", "terms" in Chinese; "licence", "terms of use" in Japanese and Korean
    r"|许可|許可|协议|協議|授权|授權|条款|條款|ライセンス|利用規約|라이선스|라이센스|이용약관"
)
_FOLDERS = re.compile(r"licen[cs]es?", re.IGNORECASE)
# What runs, what is weights or settings, and what unpacks to either.
_NEVER = re.compile(
    r".*\.(?:py[a-z]?|ipynb|sh|bash|zsh|bat|cmd|ps1|exe|dll|so|dylib|js|mjs|ts|wasm|jar|rb|pl|php|c|cc|cpp|h|cu|rs|go"
    r"|safetensors|bin|pt|pth|ckpt|gguf|onnx|h5|msgpack|npz|npy|pkl|pickle|joblib"
    r"|json|jsonl|ya?ml|toml|jinja2?|zip|tar|gz|bz2|xz|7z|whl)",
    re.IGNORECASE,
)


def is_licence_file(path: str) -> bool:
    """Say whether a file of that path in a repo holds terms of use, by its name or its folder's."""
    parts = PurePosixPath(path).parts
    if not parts or not _is_harmless(path):
        return False
    return bool(_WORDS.search(parts[-1])) or (len(parts) > 1 and bool(_FOLDERS.fullmatch(parts[-2])))


def licence_files(repo_id: str, card: Mapping[str, Any], files: Iterable[FileInfo]) -> tuple[FileInfo, ...]:
    """Return the files that go along with every copy of the repo: the licence-like, and what the card links to."""
    linked = set(_linked(repo_id, card.get("license_link")))
    return tuple(
        file
        for file in files
        if file.size <= LARGEST
        and (is_licence_file(file.path) or (file.path in linked and _is_harmless(file.path)))
    )


def _linked(repo_id: str, link: object) -> Iterable[str]:
    """Yield the path that a link names within the repo: a relative one, or an address of the repo itself."""
    for item in link if isinstance(link, list) else [link]:
        if not isinstance(item, str):
            continue
        try:
            address = urlsplit(item.strip())
        except ValueError:
            continue
        path = unquote(address.path).lstrip("/")
        if not address.scheme and not address.netloc:
            named = re.sub(r"^(?:\./)+", "", path)
            yield from (named, re.sub(r"^(?:blob|resolve|raw)/[^/]+/", "", named))
        else:
            found = re.fullmatch(rf"{re.escape(repo_id)}/(?:blob|resolve|raw)/[^/]+/(.+)", path, re.IGNORECASE)
            if found:
                yield found.group(1)


def _is_harmless(path: str) -> bool:
    parts = PurePosixPath(path).parts
    ordinary = not path.startswith("/") and all(part[0] != "." for part in parts) and bool(parts)
    return ordinary and parts[-1].lower() != "readme.md" and not _NEVER.fullmatch(parts[-1])
