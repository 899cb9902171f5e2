"""A conversion that frees its source: fetch a window's shards, convert it, judge it, release what is done.

So a checkpoint larger than the free disk can be converted from the Hub. Only shards that hubbot fetched into its
own folder are ever deleted, and with `judged` only after the values gate's findings on every output made from
them are on disk.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubbot.catalogue.tensors import ZERO_BIAS
from hubbot.checkpoints import Checkpoint
from hubbot.conversion.conversion import Conversion
from hubbot.conversion.workspace import judged_name
from hubbot.errors import NeedsHuman
from hubbot.files.atomic_folders import check_room
from hubbot.files.sizes import readable
from hubbot.plans import Plan
from hubbot.steps import fetch
from hubbot.windows import Window, peak_shard_bytes, windows_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardByShard:
    """Bring each shard when its window comes, and delete it when no later window reads it.

    With `judged` the values gate judges every window while its shards are here. Only safetensors of the Hub can be
    brought so: pickled weights are staged as a whole.
    """

    judged: bool

    def fetch(self, conversion: Conversion, checkpoint: Checkpoint) -> None:
        """Bring everything but the weights, which come with their windows; raises as steps.fetch does.

        Raises NeedsHuman where the plan leaves out biases that must be seen to be zero before anything is made.
        """
        unproven = [drop.name for drop in conversion.workspace.plan().drops if drop.reason == ZERO_BIAS]
        if unproven:
            raise NeedsHuman(
                f"{len(unproven)} biases have to be read before the conversion begins, {unproven[0]} the first",
                where=checkpoint.repo.id,
                hint="leave --free-source (the setting free_source) out for this checkpoint",
            )
        _bring(conversion, checkpoint, ())

    def convert(self, conversion: Conversion, checkpoint: Checkpoint) -> None:
        """Make all variants window by window; safe to call again after a kill.

        Raises OutOfRoom, with the numbers, where the shards needed at once and the variants do not fit, and what
        steps.fetch, steps.convert and the values gate raise.
        """
        plan = conversion.workspace.plan()
        windows = windows_of(plan, checkpoint.tensors, conversion.settings.shard_bytes)
        _check_room(conversion, checkpoint, plan, windows)
        bounds: dict[str, Any] = {
            "working_bytes": conversion.settings.working_bytes,
            "shard_bytes": conversion.settings.shard_bytes,
            "run": secrets.token_hex(8),
        }
        complete = set(conversion.ask("open_windows", bounds)["made"])
        for window in windows:
            if not (window.number in complete and self._is_judged(conversion, plan, window)):
                _bring(conversion, checkpoint, window.shards)
                conversion.ask("convert_window", {**bounds, "window": window.number})
                if self.judged:
                    conversion.ask("judge_window", {**bounds, "window": window.number})
            for shard in window.released:
                (conversion.workspace.source / shard).unlink(missing_ok=True)
        _bring(conversion, checkpoint, ())
        conversion.ask("finish_windows", bounds)

    def peak_disk_bytes(self, conversion: Conversion, checkpoint: Checkpoint, plan: Plan) -> int:
        """Return the bytes of all variants, and of the most shards that are here at once."""
        windows = windows_of(plan, checkpoint.tensors, conversion.settings.shard_bytes)
        return plan.disk_bytes + peak_shard_bytes(windows, _sizes(checkpoint))

    def _is_judged(self, conversion: Conversion, plan: Plan, window: Window) -> bool:
        return not self.judged or all(
            conversion.workspace.has(judged_name(variant.name, window.number)) for variant in plan.variants
        )


def _bring(conversion: Conversion, checkpoint: Checkpoint, shards: Sequence[str]) -> None:
    """Fetch the named shards, and all files that are no weights."""
    files = fetch.wanted(checkpoint, shards)
    with conversion.show("fetch") as progress:
        fetch.fetch(
            checkpoint, conversion.hub, conversion.workspace.source, files=files, room_for=0, progress=progress
        )


def _check_room(conversion: Conversion, checkpoint: Checkpoint, plan: Plan, windows: Sequence[Window]) -> None:
    workspace = conversion.workspace
    shards = peak_shard_bytes(windows, _sizes(checkpoint))
    workspace.root.mkdir(parents=True, exist_ok=True)
    here = _size(workspace.source) + _size(workspace.out)
    check_room(
        workspace.root,
        shards + plan.disk_bytes - here,
        purpose=f"holding {readable(shards)} of shards at once and {readable(plan.disk_bytes)} of variants",
        hint="free some space or ask for fewer variants",
    )


def _sizes(checkpoint: Checkpoint) -> dict[str, int]:
    return {file.path: file.size for file in checkpoint.files}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
