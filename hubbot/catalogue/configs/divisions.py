"""Counts of a config that have to fit each other: groups of experts, experts per token, heads.

It judges resolved fields alone and never the weights.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hubbot.catalogue.configs.spellings import EXPERTS, TOP_K

_GROUPS = ("n_group", "num_expert_group", "n_groups")
_KEPT_GROUPS = ("topk_group", "topk_groups")
# DeepSeek-V3's router scores a group by its two best experts (transformers, DeepseekV3TopkRouter).
SCORED = 2


def division_problems(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each pair of resolved fields that no model can have together."""
    heads, kept = _first(fields, ("num_attention_heads",)), _first(fields, ("num_key_value_heads",))
    if heads and kept and heads[1] % kept[1]:
        yield f"{_said(heads)} is not divisible by {_said(kept)}"
    experts, groups, chosen = (_first(fields, names) for names in (EXPERTS, _GROUPS, _KEPT_GROUPS))
    if not experts or not groups or groups[1] == 1:
        return
    if experts[1] % groups[1]:
        yield (
            f"{_said(experts)} is not divisible by {_said(groups)}, so that the router cannot group its experts; "
            f"a pruned model has to keep a multiple of {groups[1]}, or be trained with other groups"
        )
        return
    size = experts[1] // groups[1]
    if size < SCORED:
        yield f"{_said(experts)} in {_said(groups)} leaves {size} in a group, which is scored by its best two"
    if chosen and chosen[1] > groups[1]:
        yield f"{_said(chosen)} is more than {_said(groups)}"
    wanted = _first(fields, TOP_K)
    if chosen and wanted and wanted[1] > chosen[1] * size:
        yield f"{_said(wanted)} is more than the {chosen[1] * size} experts of {_said(chosen)}"


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, int] | None:
    found = ((name, fields.get(name)) for name in names)
    return next(((name, value) for name, value in found if type(value) is int and value > 0), None)


def _said(field: tuple[str, int]) -> str:
    return f"{field[0]} = {field[1]}"
