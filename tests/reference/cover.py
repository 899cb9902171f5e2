"""Which variants of which cases are converted and judged by default: a pairwise cover, where all are too many.

Every case is in it, and every form with every variant; model types meet variants in turn. What also asks the
referee takes a brief selection of it. The full matrix is run by hand (`python -m tests.reference.table --matrix`,
or pytest's `-m slow`).
"""

from collections import Counter
from collections.abc import Sequence

from tests.reference.checkpoints import Case


def pairwise(made: Sequence[Case], variants: Sequence[str]) -> tuple[tuple[Case, str], ...]:
    """Return (case, variant) such that each case is there, and each form with each variant."""
    missing = {(one.form, variant) for one in made for variant in variants}
    used: Counter[tuple[str, str]] = Counter()
    chosen: list[tuple[Case, str]] = []

    def take(one: Case, variant: str) -> None:
        chosen.append((one, variant))
        missing.discard((one.form, variant))
        used.update([(one.model_type, variant), ("", variant), (one.name, "")])

    for one in made:
        take(
            one,
            min(
                variants,
                key=lambda variant: (
                    (one.form, variant) not in missing,
                    used[one.model_type, variant],
                    used["", variant],
                ),
            ),
        )
    for form, variant in sorted(missing):
        candidates = [one for one in made if one.form == form]
        take(min(candidates, key=lambda one: (used[one.model_type, variant], used[one.name, ""])), variant)
    return tuple(chosen)


def brief(cover: Sequence[tuple[Case, str]], per_model_type: int = 1) -> tuple[tuple[Case, str], ...]:
    """Return so many of each model type, and more until every form and every variant is there."""
    used: Counter[str] = Counter()
    forms: set[str] = set()
    variants: set[str] = set()
    chosen = []
    for one, variant in cover:
        if used[one.model_type] < per_model_type or one.form not in forms or variant not in variants:
            chosen.append((one, variant))
            used[one.model_type] += 1
            forms.add(one.form)
            variants.add(variant)
    return tuple(chosen)
