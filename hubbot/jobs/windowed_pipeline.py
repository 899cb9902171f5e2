"""A conversion that frees its source: fetch a window's shards, convert it, judge it, release what is done.

So a checkpoint larger than the free disk can be converted from the Hub. Only shards that hubbot fetched into its
own folder are ever deleted, and with `judged` only after the values gate's findings on every output made from
them are on disk.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubbot.files.atomic_folders import check_room
from hubbot.files.sizes import readable
from hubbot.jobs.workspace import Workspace, judged_name
from hubbot.windows import Window, peak_shard_bytes, windows_of

# (stage of entry.py, its request) -> its answer
Child = Callable[[str, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeing:
    """One conversion in `workspace`; `fetch` brings the named shards there, beside all that is no weight file."""

    workspace: Workspace
    working_bytes: int
    shard_bytes: int
    judged: bool
    fetch: Callable[[Sequence[str]], None]
    child: Child
    run_name: str = field(default_factory=lambda: secrets.token_hex(8))

    def run(self) -> dict[str, Any]:
        """Make all variants and return the answer of the finishing stage; safe to call again after a kill."""
        windows = windows_of(self.workspace.plan(), self.workspace.checkpoint().tensors, self.shard_bytes)
        self._check_room(windows)
        made = set(self._ask("open_windows")["made"])
        for window in windows:
            if not (window.number in made and self._is_judged(window)):
                self.fetch(window.shards)
                self._ask("convert_window", window=window.number)
                if self.judged:
                    self._ask("judge_window", window=window.number)
            for shard in window.released:
                (self.workspace.source / shard).unlink(missing_ok=True)
        self.fetch(())
        return self._ask("finish_windows")

    def _ask(self, stage: str, **more: int) -> dict[str, Any]:
        request = {"working_bytes": self.working_bytes, "shard_bytes": self.shard_bytes, "run": self.run_name}
        return self.child(stage, {**request, **more})

    def _is_judged(self, window: Window) -> bool:
        if not self.judged:
            return True
        variants = self.workspace.plan().variants
        return all(self.workspace.has(judged_name(variant.name, window.number)) for variant in variants)

    def _check_room(self, windows: Sequence[Window]) -> None:
        """Raise OutOfRoom, with the numbers, where the shards needed at once and the variants do not fit."""
        plan = self.workspace.plan()
        shards = peak_shard_bytes(windows, _sizes(self.workspace))
        self.workspace.root.mkdir(parents=True, exist_ok=True)
        here = _size(self.workspace.source) + _size(self.workspace.out)
        check_room(
            self.workspace.root,
            shards + plan.disk_bytes - here,
            purpose=f"holding {readable(shards)} of shards at once and {readable(plan.disk_bytes)} of variants",
            hint="free some space or ask for fewer variants",
        )


def _sizes(workspace: Workspace) -> dict[str, int]:
    return {file.path: file.size for file in workspace.checkpoint().files}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
