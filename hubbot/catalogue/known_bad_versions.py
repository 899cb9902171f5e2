"""Released versions of mlx, mlx-lm and mlx-vlm that are silently wrong: which artifacts each touches, and how.

hubbot writes the weights itself; what such a version spoils is the verdict on them, for the model that was judged
computed wrong numbers. First and last versions were read in the released wheels, else in the issue. An artifact
does not tell its device: mlx's faults, all in the kernels for Metal, count for each. It never asks the network.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from hubbot.catalogue.variants.named_variants import VARIANTS

_QWEN3_5 = frozenset({"qwen3_5_moe", "qwen3_5_moe_text"})
_AFFINE, _MXFP4, _NVFP4 = frozenset({"affine"}), frozenset({"mxfp4"}), frozenset({"nvfp4"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBad:
    """The versions `first` to `last` of a package, both included, and what they compute wrongly.

    No `model_types` means every model, no `modes` (of mlx.core.quantize) every variant.
    """

    package: str
    first: str
    last: str
    wrong: str
    issue: str
    model_types: frozenset[str] = frozenset()
    modes: frozenset[str] = frozenset()

    def has(self, told: str) -> bool:
        """Say whether a version is one of these; what cannot be read as a version is none."""
        found = _numbers(told)
        return bool(found) and _numbers(self.first) <= found <= _numbers(self.last)

    def touches(self, model_type: str | None, variant: str) -> bool:
        """Say whether an artifact may be touched; a model type or variant that is not known counts as touched."""
        named = VARIANTS.get(variant)
        modes = {part.mode for part in (named.experts, named.rest) if part} if named else self.modes
        return (not self.model_types or model_type is None or model_type in self.model_types) and (
            not self.modes or bool(self.modes & modes)
        )


ROWS = (
    KnownBad(
        package="mlx-lm", first="0.28.3", last="0.31.3", model_types=frozenset({"lfm2_moe"}),
        wrong="routes by softmax instead of sigmoid, and the expert bias is part of the weights",
        issue="https://github.com/ml-explore/mlx-lm/issues/1883",
    ),
    KnownBad(
        package="mlx-lm", first="0.30.7", last="0.31.3", model_types=_QWEN3_5,
        wrong="adds one to every norm a second time where a converted repo kept its MTP head",
        issue="https://github.com/ml-explore/mlx-lm/issues/1197",
    ),
    KnownBad(
        package="mlx-vlm", first="0.6.4", last="0.6.4", model_types=_QWEN3_5,
        wrong="adds one to every norm of a converted repo: noise from the first token",
        issue="https://github.com/Blaizzy/mlx-vlm/issues/1548",
    ),
    KnownBad(
        package="mlx", first="0.30.0", last="0.32.2", modes=_AFFINE,
        wrong="on an M5, experts leave rows unwritten where more than 32768 are gathered, no multiple of 64",
        issue="https://github.com/ml-explore/mlx/issues/3856",
    ),
    KnownBad(
        package="mlx", first="0.30.0", last="0.31.2", modes=_MXFP4,
        wrong="on an M5, experts leave rows unwritten where more than 32768 rows are gathered",
        issue="https://github.com/ml-explore/mlx/pull/3631",
    ),
    KnownBad(
        package="mlx", first="0.30.0", last="0.32.2", modes=_AFFINE | _MXFP4 | _NVFP4 | {"mxfp8"},
        wrong="on an M5, experts whose rows are no multiple of 64 long read past the row's end",
        issue="https://github.com/ml-explore/mlx/issues/3887",
    ),
    KnownBad(
        package="mlx", first="0.30.1", last="0.32.0", modes=_NVFP4,
        wrong="two groups of 16 share one scale wherever mlx itself quantizes to nvfp4",
        issue="https://github.com/ml-explore/mlx/pull/3934",
    ),
    KnownBad(
        package="mlx", first="0.30.1", last="0.32.0", modes=_NVFP4,
        wrong="products split along the row read into the next group: twice the value, NaN or infinity",
        issue="https://github.com/ml-explore/mlx/pull/3854",
    ),
)  # fmt: skip


def touching(made_with: Mapping[str, str], model_type: str | None, variant: str) -> tuple[KnownBad, ...]:
    """Return the rows that touch an artifact, by the versions that made it or judged it."""
    return tuple(row for row in among(made_with) if row.touches(model_type, variant))


def among(versions: Mapping[str, str]) -> tuple[KnownBad, ...]:
    """Return the rows that speak of one of these versions, by package."""
    return tuple(row for row in ROWS if row.has(versions.get(row.package, "")))


@cache
def installed() -> dict[str, str]:
    """Return the installed versions of the packages that the rows speak of; mlx only with its kernels for Metal.

    Every row of mlx speaks of those kernels, and a machine without them has none of the faults.
    """
    found = _installed({row.package for row in ROWS} | {"mlx-metal"})
    metal = found.pop("mlx-metal", None)
    return found if metal else {name: told for name, told in found.items() if name != "mlx"}


def _installed(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _numbers(told: str) -> tuple[int, ...]:
    """Return a version's numbers without zeros at the end: 0.32.0rc1 and 0.32 are (0, 32)."""
    found = re.match(r"\d{1,9}(?:\.\d{1,9}){0,5}", told)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
