"""SOURCE and ARTIFACT arguments: a folder of this machine or a repo id, and the conversion that reads it."""

import threading
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from hubbot.checkpoints import RepoFiles
from hubbot.errors import RepoMissing, WrongUsage
from hubbot.folders import Folder
from hubbot.progress import Progress
from hubbot.settings import Settings

if TYPE_CHECKING:
    from hubbot.conversion.conversion import Conversion
    from hubbot.jobs.child import Child
    from hubbot.jobs.kept_children import KeptChildren


def is_folder(source: str) -> bool:
    """Say whether SOURCE means a folder: it is one, or is spelled like a path."""
    return Path(source).is_dir() or source.startswith((".", "/", "~"))


def open_source(source: str, revision: str | None) -> RepoFiles:
    """Return the files of SOURCE: a folder, or a repo at `revision` (default: its newest commit).

    Raises WrongUsage for a folder with a revision, RepoMissing for what is neither, and what Hub.open raises.
    """
    if is_folder(source):
        if revision:
            raise WrongUsage("--revision goes with a repo id, not with a folder", where=source)
        return Folder(Path(source).expanduser())
    if source.count("/") > 1 or Path(source).exists():
        raise RepoMissing("this is neither a folder nor a repo id", where=source, hint="a repo id is name/model")
    from hubbot.hub.client import default_hub

    return default_hub().open(source, revision)


def conversion_of(
    source: str,
    revision: str | None,
    settings: Settings,
    root: Path,
    *,
    here: Collection[str] = (),
    kept: "KeptChildren[Child] | None" = None,
) -> "Conversion":
    """Return a conversion of SOURCE that works in folder `root` and shows bars.

    Heavy stages run in a child process, those of `here` in this one. With `kept` one child serves all of them,
    until the caller closes `kept`.
    """
    from hubbot.cli.bars import bar
    from hubbot.conversion.conversion import Conversion
    from hubbot.conversion.workspace import Workspace
    from hubbot.hub.client import default_hub
    from hubbot.jobs.child import caller

    return Conversion(
        workspace=Workspace(root=root),
        settings=settings,
        open_source=lambda: open_source(source, revision),
        origin=Path(source).expanduser().resolve() if is_folder(source) else default_hub(),
        call=caller(settings, threading.Event(), here=here, kept=kept),
        show=bar,
    )


def artifact_folder(artifact: str, staging: Path, progress: Progress) -> Path:
    """Return the folder of ARTIFACT, downloaded into `staging` where it is a repo id.

    Raises RepoMissing where there is no such folder, and what steps.fetch.fetch_artifact raises.
    """
    if is_folder(artifact):
        path = Path(artifact).expanduser().resolve()
        if not path.is_dir():
            raise RepoMissing("there is no such folder", where=artifact)
        return path
    from hubbot.hub.client import default_hub
    from hubbot.steps.fetch import fetch_artifact

    fetch_artifact(artifact, default_hub(), staging, progress)
    return staging
