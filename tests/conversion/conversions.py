"""A conversion whose stages run in this process, and which shows nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hubbot.checkpoints import Checkpoint, RepoFiles
from hubbot.conversion.conversion import Conversion, SourceStrategy
from hubbot.conversion.workspace import Workspace
from hubbot.folders import Folder
from hubbot.hub.client import Hub
from hubbot.jobs.child_main import stage_function
from hubbot.progress import Progress
from hubbot.settings import Settings

Stage = Callable[[Mapping[str, Any]], dict[str, Any]]


@contextmanager
def show_nothing(_title: str) -> Iterator[Progress]:
    yield lambda _done, _total, _label: None


def conversion_of(
    origin: Hub | Path,
    root: Path,
    *,
    files: RepoFiles | None = None,
    asked: list[str] | None = None,
    stages: Mapping[str, Stage] | None = None,
    strategy: Callable[[Checkpoint], SourceStrategy] | None = None,
    variants: tuple[str, ...] = (),
    **settings: Any,
) -> Conversion:
    """Return a conversion in folder `root`; `asked` hears which stages ran, `stages` replaces some of them."""

    def call(stage: str, request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        if asked is not None:
            asked.append(stage)
        if stages is not None and stage in stages:
            return stages[stage](request)
        return dict(stage_function(stage)(dict(request), progress))

    def open_source() -> RepoFiles:
        if files is not None:
            return files
        assert isinstance(origin, Path)
        return Folder(origin)

    return Conversion(
        workspace=Workspace(root=root),
        settings=Settings(data_dir=root / "data", **settings),
        open_source=open_source,
        origin=origin,
        call=call,
        show=show_nothing,
        variants=variants,
        strategy=strategy,
    )
