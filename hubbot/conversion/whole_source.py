"""The usual way to bring a source: all weights are here before the conversion begins, and stay until its end."""

from hubbot.checkpoints import Checkpoint
from hubbot.conversion.conversion import Conversion
from hubbot.conversion.source_files import bring_source
from hubbot.hub.client import Hub
from hubbot.plans import Plan


class WholeSource:
    """Fetch everything, then convert it in one pass."""

    def fetch(self, conversion: Conversion, checkpoint: Checkpoint) -> None:
        """Bring weights and side files; raises as `bring_source` does, WorkLost where a weight file is missing."""
        checkpoint = bring_source(conversion, checkpoint, room_for=conversion.workspace.plan().disk_bytes)
        _check(conversion, checkpoint)

    def convert(self, conversion: Conversion, checkpoint: Checkpoint) -> None:
        """Make all variants; raises as steps.convert does, WorkLost where a fetched weight file is missing."""
        _check(conversion, checkpoint)
        settings = conversion.settings
        conversion.ask("convert", {"working_bytes": settings.working_bytes, "shard_bytes": settings.shard_bytes})

    def peak_disk_bytes(self, conversion: Conversion, checkpoint: Checkpoint, plan: Plan) -> int:
        """Return the bytes of all variants, and of the weight files where they are downloaded."""
        if not isinstance(conversion.origin, Hub):
            return plan.disk_bytes
        shards = set(checkpoint.shards)
        return plan.disk_bytes + sum(file.size for file in checkpoint.files if file.path in shards)


def _check(conversion: Conversion, checkpoint: Checkpoint) -> None:
    if isinstance(conversion.origin, Hub):
        conversion.workspace.check_weights(checkpoint)
