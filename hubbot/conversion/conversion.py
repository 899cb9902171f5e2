"""What the stages of one conversion share: its folder, its settings, its source, and how a stage is run and shown.

The stages themselves are in stages.py. It knows neither jobs nor the command line: both hand in `call` and `show`.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from hubbot.checkpoints import Checkpoint, RepoFiles
from hubbot.conversion.workspace import Workspace
from hubbot.hub.client import Hub
from hubbot.plans import Plan
from hubbot.progress import Progress
from hubbot.settings import Settings
from hubbot.sources.pickle_files import has_pickles

# Runs a function of child_stages or window_stages by its name, here or in a child process, and returns its answer.
Call: TypeAlias = Callable[[str, Mapping[str, Any], Progress], dict[str, Any]]
# Opens a display under a title and yields the function that takes its progress.
Show: TypeAlias = Callable[[str], AbstractContextManager[Progress]]


class SourceStrategy(Protocol):
    """How the weights come to the converter, and when they go: WholeSource or ShardByShard."""

    def fetch(self, conversion: "Conversion", checkpoint: Checkpoint) -> None:
        """Bring what must be here before the conversion begins."""

    def convert(self, conversion: "Conversion", checkpoint: Checkpoint) -> None:
        """Make all variants in the workspace, and save the artifacts there."""

    def peak_disk_bytes(self, conversion: "Conversion", checkpoint: Checkpoint, plan: Plan) -> int:
        """Return the most bytes that are on disk at once: all variants, and what is here of the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """One checkpoint on its way to proven MLX variants in `workspace`.

    `origin` is the Hub, or the folder of the person's own that holds the source; nothing in that is ever changed.
    `variants` are names of the catalogue, `recipes` TOML files with variants of the person's own. `strategy`
    chooses how the weights of a checkpoint are brought, and may refuse one.
    """

    workspace: Workspace
    settings: Settings
    open_source: Callable[[], RepoFiles]
    origin: Hub | Path
    call: Call
    show: Show
    variants: tuple[str, ...] = ()
    recipes: tuple[Path, ...] = ()
    strategy: Callable[[Checkpoint], SourceStrategy] | None = None

    def ask(self, stage: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run one function of child_stages or window_stages on the workspace and return its answer.

        Raises what that function raises.
        """
        with self.show(stage.replace("_", " ")) as progress:
            return self.call(stage, {**self.workspace.to_request(), **request}, progress)

    def strategy_for(self, checkpoint: Checkpoint) -> SourceStrategy:
        """Return how this checkpoint's weights are brought; raises what `strategy` raises."""
        assert self.strategy is not None, "whoever only judges or rewrites a source brings it as a whole"
        return self.strategy(checkpoint)

    @property
    def hub(self) -> Hub:
        """Return the Hub that the source is fetched from; a folder's source never is."""
        assert isinstance(self.origin, Hub), "a folder's files are read where they are"
        return self.origin


def reading_in_place(conversion: Conversion, checkpoint: Checkpoint) -> Conversion:
    """Return the conversion so that it reads a folder's safetensors in place; pickles are staged elsewhere."""
    if isinstance(conversion.origin, Hub) or has_pickles(checkpoint):
        return conversion
    return replace(conversion, workspace=replace(conversion.workspace, source_folder=conversion.origin))
