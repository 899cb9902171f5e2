"""The references drawn anew with other seeds, converted, judged against transformers and thrown away.

    python -m tests.reference.zoo [--seed N] [--tokens N] [model_type ...]

Run by hand, with torch: weights, biases and tokens differ from the committed cases. It ends with 1 if a conversion
is silently wrong or a case is refused that ought to convert. What make.py stops at (a router near a tie, a value
that hardly matters with this seed) is said and passed over.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers

from tests.checks.stock import borrow_tokenizer
from tests.reference import checkpoints, make, table
from tests.reference.families import ROWS
from tests.reference.rows import Family


def main() -> None:
    """Print one line a case, then the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_types", nargs="*", metavar="NAME", help="only these model types")
    parser.add_argument("--seed", type=int, default=7, help="other than that of the committed cases")
    parser.add_argument("--tokens", type=int, default=make.TOKENS, help="how many tokens a model reads")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    make.SEED, make.TOKENS = options.seed, options.tokens
    wanted = set(options.model_types)
    found: Counter[str] = Counter()
    bad = 0
    for family in ROWS:
        if not wanted or family.model_type in wanted:
            for name, verdict, error, expected in judged(family):
                found[verdict] += 1
                is_bad = verdict == table.WRONG or (verdict == table.REFUSED and expected == "convert")
                bad += is_bad
                print(f"{name}: {verdict} {error}{'  <--' if is_bad else ''}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in found.most_common()))
    sys.exit(bool(bad))


def judged(family: Family) -> Iterator[tuple[str, str, str, str]]:
    """Yield (case, verdict, error or refusal, what is expected) of a family's cases with this seed."""
    with tempfile.TemporaryDirectory(prefix="hubbot-zoo-") as folder:
        checkpoints.RECORDS = Path(folder) / "cases"
        checkpoints.cases.cache_clear()
        try:
            make.record_family(family)
        except SystemExit as error:
            print(f"{family.model_type}: not made with this seed: {error}", flush=True)
            return
        for number, made in enumerate(checkpoints.cases()):
            place = Path(folder) / str(number)
            source = borrow_tokenizer(checkpoints.write(made, place / "source"))
            verdict, error = table.hubbot_on(made, source, place / "out")
            yield made.name, verdict, error, made.expected


if __name__ == "__main__":
    main()
