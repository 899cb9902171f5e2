"""Towers: what stands beside a text decoder to see, and how mlx-vlm keeps it in the repo that mlx-lm runs.

A row says which source tensors are kept under which name, whose convolutions turn, and what config.json says for
mlx-vlm; converter and referee each carry it out in their own way. It never reads a checkpoint's bytes.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubbot.catalogue.configs.nesting import TEXT
from hubbot.catalogue.reshapes import Reshaped
from hubbot.checkpoints import FLOAT_DTYPES, TensorInfo
from hubbot.moves import CHANNELS_LAST

VISION = "vision_config"
ROLE = "tower"
# The version whose classes the rows were read from and compared with.
MLX_VLM = "0.7.10"
TURNED = "torch keeps a convolution [out, in, ...], MLX [out, ..., in]"
_KEPT_AS_IS = "kept bit for bit under mlx-vlm's name"
BY_REQUEST = "text only was asked for"
_NO_ROW = "mlx-vlm loads no repo that mlx-lm loads, too"
Config = Mapping[str, Any]


def _nothing(_config: Config) -> dict[str, Any]:
    return {}


def _fits(_config: Config) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """How mlx-vlm's class for a model type keeps the tower beside the decoder.

    - `renames` are (pattern, replacement) on the source's whole names; the first that fits counts, and a name that
      none fits is no part of the tower. `left_out` are patterns of what mlx-vlm has no place for, and why.
    - `convolutions` is a pattern on mlx-vlm's names: those tensors turn from [out, in, ...] to [out, ..., in].
    - `outer` are keys of the source's config that mlx-vlm reads beside text_config and vision_config, `told` works
      out those that it spells otherwise.
    - `text` works out, of the source's config, what text_config says beside the fields that mlx-lm reads, or in
      place of them; `vision` what vision_config says in place of the source's.
    - `unfit` says why mlx-vlm's class cannot hold the tower that a config describes, or None where it can.
    - `differences` are known faults of mlx-vlm by which its answers about images differ from the source's.
    """

    renames: tuple[tuple[str, str], ...]
    convolutions: str | None = None
    left_out: tuple[tuple[str, str], ...] = ()
    outer: tuple[str, ...] = ()
    told: Callable[[Config], dict[str, Any]] = _nothing
    text: Callable[[Config], dict[str, Any]] = _nothing
    vision: Callable[[Config], dict[str, Any]] = _nothing
    differences: tuple[str, ...] = ()
    unfit: Callable[[Config], str | None] = _fits

    def made(self, name: str) -> Reshaped | None:
        """Return the parameter that a source tensor becomes, or None where it is no part of the tower."""
        for pattern, replacement in self.renames:
            if re.search(pattern, name):
                output = re.sub(pattern, replacement, name)
                turns = self.convolutions is not None and re.fullmatch(self.convolutions, output)
                view, reason = ((CHANNELS_LAST,), TURNED) if turns else ((), _KEPT_AS_IS)
                return Reshaped(output=output, groups=None, view=view, merge=False, reason=reason)
        return None

    def config(self, written: Config, source: Config) -> dict[str, Any]:
        """Return the config to write: `written` for mlx-lm, and of the `source`'s what mlx-vlm reads."""
        outer = {key: source[key] for key in self.outer if source.get(key) is not None} | self.told(source)
        text = {**written[TEXT], **self.text(source)}
        vision = {**source[VISION], **self.vision(source)}
        return dict(sorted({**outer, **written, TEXT: dict(sorted(text.items())), VISION: vision}.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTower:
    """What becomes of a checkpoint's tower: by source tensor the parameter that it is kept as, or why none is.

    `reason` is None where the tower is kept, and where there is none. `left_out` are tensors of a kept tower that
    mlx-vlm has no place for, and why.
    """

    parts: Mapping[str, Reshaped] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None

    @property
    def is_kept(self) -> bool:
        """Say whether the artifact can see."""
        return bool(self.parts)


NONE = KeptTower()


def kept_tower(
    names: Collection[str],
    config: Config,
    tensors: Mapping[str, TensorInfo],
    packed: Collection[str],
    tower: Tower | str | None,
    *,
    text_only: bool,
) -> KeptTower:
    """Return what becomes of the source's tower tensors `names`, by the family's `tower`.

    `tensors` are the source's logical ones, `packed` those of them that are stored as codes. `text_only` says that
    nobody wants the tower.
    """
    if not names:
        return NONE
    if text_only:
        return KeptTower(reason=BY_REQUEST)
    if not isinstance(tower, Tower):
        return KeptTower(reason=tower or _NO_ROW)
    has_config = isinstance(config.get(VISION), Mapping)
    unfit = tower.unfit(config) if has_config else "config.json has no vision_config"
    return KeptTower(reason=unfit) if unfit else _taken_over(names, tensors, packed, tower)


def _taken_over(
    names: Collection[str], tensors: Mapping[str, TensorInfo], packed: Collection[str], tower: Tower
) -> KeptTower:
    parts: dict[str, Reshaped] = {}
    left_out: dict[str, str] = {}
    for name in names:
        reason = next((why for pattern, why in tower.left_out if re.fullmatch(pattern, name)), None)
        made = tower.made(name)
        if reason is not None:
            left_out[name] = reason
        elif made is None:
            return KeptTower(reason=f"mlx-vlm {MLX_VLM}'s class has no place for {name}")
        elif name in packed or tensors[name].dtype not in FLOAT_DTYPES:
            return KeptTower(reason=f"{name} is packed, and a tower is kept as it is, in 16 or 32 bit")
        else:
            parts[name] = made
    return KeptTower(parts=parts, left_out=left_out)
