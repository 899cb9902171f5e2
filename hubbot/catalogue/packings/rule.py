"""What a packing's rule finds in a checkpoint, and the form all rules have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hubbot.checkpoints import Checkpoint
from hubbot.moves import Packed


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The packed tensors of a checkpoint, and the stored tensors that are no part of a weight, with the reason."""

    packed: tuple[Packed, ...]
    dropped: Mapping[str, str]


# (checkpoint, its quantization block) -> what is packed; raises UnknownPacking, IncompleteCover.
Method = Callable[[Checkpoint, Mapping[str, Any]], Found]
