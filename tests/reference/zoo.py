"""The references drawn anew with other seeds, converted, judged against transformers and thrown away.

    python -m tests.reference.zoo [--seed N] [--tokens N] [--other-sizes] [model_type ...]

Run by hand, with torch: weights, biases and tokens differ from the committed cases, with --other-sizes all
widths, heads and experts, too. Each artifact reads the text at once and with its cache, in parts and one by one.
It ends with 1 if a conversion is silently wrong or a case is refused that ought to convert. What make.py stops at
(a router near a tie, a value that hardly matters) is drawn again with the next seed; what never succeeds is said.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import transformers
from mlx_lm.models.cache import make_prompt_cache
from transformers.models.phimoe import modeling_phimoe

from tests.checkpoints_on_disk import answer, relative, stock_model
from tests.checks.stock import borrow_tokenizer
from tests.reference import checkpoints, make, make_hunyuan, make_kimi_k3, table
from tests.reference.checkpoints import Case, Floats
from tests.reference.families import ROWS
from tests.reference.other_sizes import family_resized, resized
from tests.reference.rows import Family, Model

# What transformers has no class for; numpy answers instead.
BY_NUMPY: dict[str, ModuleType] = {"hunyuan": make_hunyuan, "kimi_k3": make_kimi_k3}
TRIES = 20


def main() -> None:
    """Print one line a case, then the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_types", nargs="*", metavar="NAME", help="only these model types")
    parser.add_argument("--seed", type=int, default=7, help="other than that of the committed cases")
    parser.add_argument("--tokens", type=int, default=make.TOKENS, help="how many tokens a model reads")
    parser.add_argument("--other-sizes", action="store_true", help="other widths, heads and experts")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    modeling_phimoe.PhimoeRotaryEmbedding.forward = by_length
    for module in (make, *BY_NUMPY.values()):
        vars(module)["TOKENS"] = options.tokens
    found: Counter[str] = Counter()
    bad = 0
    for name, record in models(options.model_types, other_sizes=options.other_sizes):
        for case, verdict, error, expected in judged(name, record, options.seed):
            found[verdict] += 1
            is_bad = verdict == table.WRONG or (verdict == table.REFUSED and expected == "convert")
            bad += is_bad
            print(f"{case}: {verdict} {error}{'  <--' if is_bad else ''}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in found.most_common()))
    sys.exit(bool(bad))


def models(wanted: Sequence[str], *, other_sizes: bool) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the name of each model of those types, and what records its cases."""
    for row in ROWS:
        if not wanted or row.model_type in wanted:
            family = family_resized(row) if other_sizes else row
            for model in both_factors(family):
                yield (
                    f"{row.model_type}/{model.name}",
                    partial(make.record_family, replace(family, models=(model,))),
                )
    for model_type, module in BY_NUMPY.items():
        if not wanted or model_type in wanted:
            grown = resized if other_sizes else dict
            key = "TEXT" if module is make_kimi_k3 else "CONFIG"
            vars(module)[key] = grown(vars(module)[key])
            for made in module.MODELS:
                yield (
                    f"{model_type}/{made.name}",
                    partial(by_numpy, module, replace(made, changes=grown(made.changes))),
                )


def by_numpy(module: ModuleType, made: Any) -> None:
    """Record one model that numpy answers for."""
    vars(module)["MODELS"] = (made,)
    module.main()


def both_factors(family: Family) -> Iterator[Model]:
    """Yield the family's models; one with longrope twice, within the length of training and beyond it."""
    for model in family.models:
        scaling = model.changes.get("rope_parameters") or {}
        if scaling.get("rope_type") != "longrope":
            yield model
            continue
        for name, limit in (("", 512), ("_beyond", 8)):
            changed = {**model.changes, "rope_parameters": {**scaling, "original_max_position_embeddings": limit}}
            yield replace(model, name=model.name + name, changes=changed)


def by_length(self: Any, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotate as Microsoft's modeling_phimoe.py: beyond the length of training by the long factors, too.

    transformers 5.24 takes the long scale there and leaves the short factors.
    """
    rope, length = self.config.rope_parameters, int(position_ids.max()) + 1
    inv_freq, scale = self.rope_init_fn(self.config, seq_len=length)
    if rope["rope_type"] != "default":
        scale = rope["long_mscale" if length > rope["original_max_position_embeddings"] else "short_mscale"]
    turns = position_ids[..., None].float() * inv_freq.float()
    both = torch.cat((turns, turns), dim=-1)
    return (both.cos() * scale).to(x.dtype), (both.sin() * scale).to(x.dtype)


def judged(name: str, record: Callable[[], None], seed: int) -> Iterator[tuple[str, str, str, str]]:
    """Yield (case, verdict, error or refusal, what is expected) of a model's cases."""
    with tempfile.TemporaryDirectory(prefix="hubbot-zoo-") as folder:
        checkpoints.RECORDS = Path(folder) / "cases"
        checkpoints.cases.cache_clear()
        if not is_made(name, record, seed):
            yield name, "not made", "", ""
            return
        for number, made in enumerate(checkpoints.cases()):
            place = Path(folder) / str(number)
            source = borrow_tokenizer(checkpoints.write(made, place / "source"))
            verdict, error = table.hubbot_on(made, source, place / "out")
            if verdict == table.RIGHT:
                cached = relative(with_cache(made, place / "out" / "fp32"), made.logits)
                verdict = table.RIGHT if cached < made.tolerance else table.WRONG
                error = f"{error}, with its cache {cached:.0e}"
            yield made.name, verdict, error, made.expected


def is_made(name: str, record: Callable[[], None], seed: int) -> bool:
    """Record the model with the first seed that gives no tie; say whether one did."""
    for attempt in range(TRIES):
        for module in (make, *BY_NUMPY.values()):
            vars(module)["SEED"] = seed + 1000 * attempt
        try:
            record()
        except (SystemExit, ValueError) as error:
            reason = error
        else:
            return True
    print(f"{name}: not made with {TRIES} seeds: {reason}", flush=True)
    return False


def with_cache(made: Case, artifact: Path) -> Floats:
    """Return the artifact's logits, float32 [tokens, vocab]: parts of the text, then one token after the other."""
    model = stock_model(artifact)
    cache = make_prompt_cache(model)
    count = len(made.ids)
    cuts = [0, count * 5 // 8, *range(count * 6 // 8, count + 1)]
    return np.concatenate([answer(model, made.ids[start:end], cache) for start, end in pairwise(cuts)])


if __name__ == "__main__":
    main()
