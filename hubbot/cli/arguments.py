"""SOURCE and ARTIFACT arguments: a folder of this machine or a repo id, brought to where it can be read."""

from pathlib import Path

from hubbot.checkpoints import RepoFiles
from hubbot.errors import RepoMissing, WrongUsage
from hubbot.folders import Folder
from hubbot.progress import Progress


def is_folder(source: str) -> bool:
    """Say whether SOURCE means a folder: it is one, or is spelled like a path."""
    return Path(source).is_dir() or source.startswith((".", "/", "~"))


def open_source(source: str, revision: str | None) -> RepoFiles:
    """Return the files of SOURCE: a folder, or a repo at `revision` (default: its newest commit)."""
    if is_folder(source):
        if revision:
            raise WrongUsage("--revision goes with a repo id, not with a folder", where=source)
        return Folder(Path(source).expanduser())
    if source.count("/") > 1 or Path(source).exists():
        raise RepoMissing("this is neither a folder nor a repo id", where=source, hint="a repo id is name/model")
    from hubbot.hub.client import default_hub

    return default_hub().open(source, revision)


def artifact_folder(artifact: str, staging: Path, progress: Progress) -> Path:
    """Return the folder of ARTIFACT, downloaded into `staging` where it is a repo id."""
    if is_folder(artifact):
        path = Path(artifact).expanduser().resolve()
        if not path.is_dir():
            raise RepoMissing("there is no such folder", where=artifact)
        return path
    from hubbot.hub.client import default_hub

    hub = default_hub()
    files = hub.open(artifact, None)
    staging.mkdir(parents=True, exist_ok=True)
    wanted = tuple(file for file in files.files if not file.path.endswith((".py", ".bin", ".gguf")))
    hub.fetch(files.repo, wanted, staging, progress)
    return staging
