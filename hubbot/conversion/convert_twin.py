"""The converter as the tracer calls it: a shrunken model (twin) is converted by the same steps as its source.

It does not know what the tracer does with the result.
"""

from pathlib import Path

from hubbot.folders import Folder
from hubbot.steps import classify, inspect
from hubbot.steps import convert as converting
from hubbot.steps import plan as planning

VARIANT = "fp32"
# Small enough that a twin is cut into slices and written into several files, as a large model is.
WORKING_BYTES = 1 << 20
SHARD_BYTES = 4 << 20


def convert_twin(source: Path, out: Path) -> Path:
    """Convert the checkpoint in `source`, unquantized in float32, below `out`; return the artifact's folder.

    Raises what the steps raise.
    """
    checkpoint = inspect.inspect(Folder(source))
    plan = planning.plan(checkpoint, classify.classify(checkpoint), [VARIANT], working_bytes=WORKING_BYTES)
    bounds = converting.Bounds(working_bytes=WORKING_BYTES, shard_bytes=SHARD_BYTES, is_numbered=True)
    (artifact,) = converting.convert(
        checkpoint, plan, source=source, out=out, bounds=bounds, progress=lambda _done, _total, _what: None
    )
    return Path(artifact.path)
