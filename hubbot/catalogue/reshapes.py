"""Tensors beside the experts that a runtime's class wants in another form: splits, transposes, folds.

A row says which source tensors and what becomes of them; the converter and the referee each carry it out in
their own way.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hubbot.moves import TRANSPOSE, Step, take

Config = Mapping[str, Any]


def _no_steps(_config: Config) -> tuple[Step, ...]:
    return ()


def _no_groups(_config: Config) -> int | None:
    return None


def _always(_config: Config) -> bool:
    return True


def _everywhere(_found: re.Match[str], _config: Config) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One parameter made of a source tensor: `name` replaces the match of the row's pattern.

    `groups` splits the source's first axis into so many units (None: each step is one), `steps` are applied to
    every unit, `merge` joins the units' rows again into one axis. Groups and steps are worked out from the
    resolved config (text part), e.g. the number of heads. `part` (k, n) takes the k-th of n equal parts of an
    ungrouped source's first axis. `join` (k, n) says that n such sources, of one shape, make the parameter
    together, one below the other, of which this is the k-th. `flat` leaves out axes of length 1.
    """

    name: str
    groups: Callable[[Config], int | None] = _no_groups
    steps: Callable[[Config], tuple[Step, ...]] = _no_steps
    merge: bool = False
    part: tuple[int, int] | None = None
    join: tuple[int, int] | None = None
    flat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshape:
    """What becomes of the tensors whose runtime name matches `pattern` in whole, under configs where `when` holds.

    `reason` cites the source; `where` may leave out some of the names, by what the config says of their layer.
    With `each` the pieces are made once for each of so many equal parts of the source's first axis; "{e}" in
    their names is the part's number, and each part is one unit. `shares` is the number of equal parts of which the
    pieces take one; the others belong to what mlx-lm does not run.
    """

    pattern: str
    pieces: tuple[Piece, ...]
    reason: str
    when: Callable[[Config], bool] = _always
    where: Callable[[re.Match[str], Config], bool] = _everywhere
    each: Callable[[Config], int] | None = None
    shares: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshaped:
    """One parameter of the runtime's model as a row makes it of one source tensor."""

    output: str
    groups: int | None
    view: tuple[Step, ...]
    merge: bool
    reason: str
    part: tuple[int, int] | None = None
    shares: int = 1
    join: tuple[int, int] | None = None
    flat: bool = False

    @property
    def is_whole(self) -> bool:
        """Say whether the parameter is the source as it stands, row by row."""
        plain = self.groups is None and self.part is None and self.join is None
        return plain and not (self.view or self.merge or self.flat)


def reshaped(name: str, rows: Sequence[Reshape], config: Config) -> tuple[Reshaped, ...]:
    """Return what becomes of the tensor that the runtime would call `name`; itself where no row applies."""
    text = config.get("text_config")
    known = {**config, **text} if isinstance(text, Mapping) else config
    for row in rows:
        found = re.fullmatch(row.pattern, name)
        if found and row.when(known) and row.where(found, known):
            return tuple(_made(found, row, known))
    return (Reshaped(output=name, groups=None, view=(), merge=False, reason=""),)


def _made(found: re.Match[str], row: Reshape, config: Config) -> Iterator[Reshaped]:
    parts = row.each(config) if row.each else None
    for piece in row.pieces:
        name, view = found.expand(piece.name), piece.steps(config)
        if parts is None:
            yield Reshaped(
                output=name,
                groups=piece.groups(config),
                view=view,
                merge=piece.merge,
                reason=row.reason,
                part=piece.part,
                shares=row.shares,
                join=piece.join,
                flat=piece.flat,
            )
        for number in range(parts or 0):
            output, part = name.replace("{e}", str(number)), (number, parts or 0)
            yield Reshaped(output=output, groups=parts, view=view, merge=True, reason=row.reason, part=part)


def _heads(config: Config) -> int:
    return int(config["num_attention_heads"])


def _keys(config: Config) -> tuple[Step, ...]:
    return (take(0, int(config["qk_nope_head_dim"])), TRANSPOSE)


def _values(config: Config) -> tuple[Step, ...]:
    nope = int(config["qk_nope_head_dim"])
    return (take(nope, nope + int(config["v_head_dim"])),)


def transposed(_config: Config) -> tuple[Step, ...]:
    """Return the step that exchanges the last two axes."""
    return (TRANSPOSE,)


def _plus_one(_config: Config) -> tuple[Step, ...]:
    return (Step(kind="add", value=1.0),)


def _shifted(_config: Config) -> tuple[Step, ...]:
    return (Step(kind="shift"),)


def _has_groups(config: Config) -> bool:
    return any(isinstance(config.get(key), int) and config[key] > 1 for key in ("n_group", "num_expert_group"))


# Multi-head latent attention in mlx-lm: per head [nope + v, rank] -> keys [rank, nope] and values [v, rank].
LATENT_HEADS = Reshape(
    pattern=r"(.*)\.kv_b_proj\.weight",
    pieces=(
        Piece(name=r"\1.embed_q.weight", groups=_heads, steps=_keys),
        Piece(name=r"\1.unembed_out.weight", groups=_heads, steps=_values),
    ),
    reason="mlx-lm absorbs kv_b_proj into the queries and the output (models/mla.py, MultiLinear)",
)
# torch keeps [channels, 1, width], MLX [channels, width, 1].
CONVOLUTION = Reshape(
    pattern=r"(.*conv(?:1d)?\.weight)",
    pieces=(Piece(name=r"\1", steps=transposed),),
    reason="torch stores convolutions [out, in, width], MLX [out, width, in]",
)


def joined(
    pattern: str,
    parts: str,
    name: str,
    reason: str,
    *,
    steps: Callable[[Config], tuple[Step, ...]] = _no_steps,
    where: Callable[[re.Match[str], Config], bool] = _everywhere,
) -> tuple[Reshape, ...]:
    """Return the rows for tensors that one parameter `name` holds one below the other: one for each of `parts`.

    `pattern` has {part} where each of them is named.
    """
    return tuple(
        Reshape(
            pattern=pattern.replace("{part}", part),
            pieces=(Piece(name=name, steps=steps, join=(number, len(parts))),),
            reason=reason,
            where=where,
        )
        for number, part in enumerate(parts)
    )


# transformers 5 joins the convolutions of queries, keys and values, one after the other.
JOINED_CONVOLUTIONS = Reshape(
    pattern=r"(.*)\.conv1d\.weight",
    pieces=tuple(
        Piece(name=rf"\1.{part}_conv1d.weight", steps=transposed, part=(number, 3))
        for number, part in enumerate("qkv")
    ),
    reason="transformers 5.23 conversion_mapping: q_conv1d, k_conv1d, v_conv1d -> conv1d, Concatenate(dim=0)",
)


# The class masks the experts of excluded groups with 0, transformers with minus infinity: the same choice as soon
# as no biased score is negative, and one constant on all biases of a layer changes no choice and no weight.
GROUPED_BIAS = Reshape(
    pattern=r"(.*\.e_score_correction_bias)",
    pieces=(Piece(name=r"\1", steps=_shifted),),
    reason="mlx-lm masks excluded groups with 0; a constant added to all of a layer's biases keeps them below",
    when=_has_groups,
)


def latent_norms(computed: Callable[[Config], float]) -> tuple[Reshape, ...]:
    """Return the rows under which a norm of a latent, `computed` with another epsilon, acts as the source's.

    Norms are blind to the size of what they are given but for epsilon: of a latent c times as large it counts as
    epsilon / c^2. c is the power of two for which that is nearest to the source's 1e-6.
    """
    return tuple(
        Reshape(
            pattern=rf"(.*\.{name}\.{leaf})",
            pieces=(Piece(name=r"\1", groups=whole, steps=_scaled(rank, computed, axis), merge=True),),
            reason="mlx-lm norms the latent with another epsilon than the source's 1e-6: a power of two cures it",
        )
        for name, rank in (("q_a_proj", "q_lora_rank"), ("kv_a_proj_with_mqa", "kv_lora_rank"))
        for leaf, axis in (("weight", -2), ("bias", -1))
    )


def whole(_config: Config) -> int:
    """Return the number of units of a tensor that is taken as one."""
    return 1


def _scaled(rank: str, computed: Callable[[Config], float], axis: int) -> Callable[[Config], tuple[Step, ...]]:
    def steps(config: Config) -> tuple[Step, ...]:
        power = round(math.log2(computed(config) / 1e-6) / 2)
        return (Step(kind="scale", axis=axis, start=0, stop=int(config[rank]), value=2.0**power),)

    return steps


# transformers norms latents with 1e-6 whatever the config says, mlx-lm's classes as the config says.
LATENT_NORMS = latent_norms(lambda config: float(config["rms_norm_eps"]))


def plus_one(pattern: str, reason: str) -> Reshape:
    """Return the row for norms stored around zero that the class multiplies as they are: 1 is added in float32."""
    return Reshape(pattern=pattern, pieces=(Piece(name=r"\g<0>", steps=_plus_one),), reason=reason)
