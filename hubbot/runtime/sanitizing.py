"""Apply an mlx-lm class's own `sanitize` to small tensors and return what it makes of them.

It knows nothing of plans, rows or checks, and judges nothing.
"""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from hubbot.errors import StructureMismatch
from hubbot.runtime import loading

Array = npt.NDArray[np.float32]


def sanitized(config: Mapping[str, Any], tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Return the float32 tensors [parameter's shape], by name, that the class of `config` makes of `tensors`.

    Raises StructureMismatch, with the reason, where the class has no sanitize, fails, or does not return exactly
    the tensors that it needs.
    """
    model = loading.build(config)
    if not hasattr(model, "sanitize"):
        raise StructureMismatch("the class has no sanitize")
    wanted = {name: tuple(array.shape) for name, array in loading.parameters(model)}
    with mx.stream(mx.cpu):
        try:
            found = model.sanitize({name: mx.array(values) for name, values in tensors.items()})
            made = {name: np.array(array.astype(mx.float32)) for name, array in found.items()}
        except Exception as error:
            told = f"{type(error).__name__}: {str(error).strip()[:160]}"
            raise StructureMismatch(f"it fails with {told}") from error
    for name in [*wanted, *made]:
        shape = made[name].shape if name in made else None
        if shape != wanted.get(name):
            told = "makes none" if shape is None else f"makes {list(shape)}"
            need = list(wanted[name]) if name in wanted else "none"
            raise StructureMismatch(f"of {name} it {told} where the class has {need}", where=name)
    return made
