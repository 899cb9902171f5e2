"""Which code computes the formats: the definitions in numpy, or the fused kernels where they give the same bits.

The fused kernels are used only after a self-check on groups that quantizers stumble over.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy.typing as npt

from hubbot.engine.formats import affine, microscaling, self_check
from hubbot.engine.formats import fused as quantizer

Raw = npt.NDArray[Any]
Parts = dict[str, npt.NDArray[Any]]
# Below this many bytes of source numpy is done before the kernels are loaded.
FUSED_FROM: Final = 192 << 20
_lock = threading.Lock()
# By dtype: what the self-check decided, and where it has begun.
_known: "dict[str, Kernels]" = {}
_begun: set[str] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """One way to compute every format: functions that take and return what the definitions do.

    The fused ones raise NotFinite for NaN and infinity, the definitions ask for finite weights.
    `reason` says why the fused kernels are not used, None where they are.
    """

    affine: Callable[..., list[Parts]]
    microscaling: Callable[..., Parts]
    reason: str | None


DEFINITIONS: Final = Kernels(
    affine=affine.quantize, microscaling=microscaling.quantize, reason="too little to compute, or not compiled yet"
)


def fastest(dtype: str, *, nbytes: int) -> Kernels:
    """Return the kernels for weights of `dtype`, of which there are `nbytes` bytes in all.

    The first time on a machine numba compiles for seconds; meanwhile the definitions compute.
    """
    if nbytes < FUSED_FROM:
        return DEFINITIONS
    if dtype in _known:
        return _known[dtype]
    if dtype not in _begun:
        _begun.add(dtype)
        threading.Thread(target=checked, args=(dtype,), daemon=True).start()
    return DEFINITIONS


def checked(dtype: str) -> Kernels:
    """Return the fused kernels where the self-check finds no wrong bit for `dtype`, else the definitions."""
    with _lock:
        if dtype not in _known:
            _known[dtype] = _judged(dtype)
        return _known[dtype]


def _judged(dtype: str) -> Kernels:
    try:
        found = fused()
        fault = self_check.first_fault(found.affine, found.microscaling, dtype)
    except ImportError:
        return replace(DEFINITIONS, reason="numba is not installed")
    except Exception as error:  # noqa: BLE001 - numba and LLVM raise anything; numpy computes the same
        return replace(DEFINITIONS, reason=f"numba does not run here: {type(error).__name__}: {str(error)[:200]}")
    return found if fault is None else replace(DEFINITIONS, reason=f"self-check: {fault}")


def fused() -> Kernels:
    """Return the fused kernels, unchecked. Raises ImportError without numba, and as `machine_code.load` does."""
    quantizer.prepare()
    return Kernels(affine=quantizer.quantize_affine, microscaling=quantizer.quantize_microscaling, reason=None)
