"""Take a real config.json into the tests: make it small, make its reference with torch, commit both.

    python -m tests.configs.add FILE [--repo OWNER/NAME] [--source WHERE] [--certainty HOW]

A SOURCES.tsv beside FILE (file, model, where, how sure) is asked for what is not said. Without torch, or where
transformers has no class, only the config is taken and hubbot's verdict on it is the test.
"""

import argparse
import csv
import json
import sys
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hubbot.catalogue import resolution, runtimes
from hubbot.catalogue.configs.source_readers import readers
from hubbot.catalogue.families import Family, family_for
from hubbot.checks.twins.shrinking import VISION_LIMITS
from tests.configs.small import small
from tests.configs.twins import DATA

TOKENS = 24
# Families whose towers are built by another class.
SEEING = "AutoModelForImageTextToText"


def main() -> None:
    """Take every file named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.configs.add", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--repo", default="")
    parser.add_argument("--source", default="")
    parser.add_argument("--certainty", default="")
    asked = parser.parse_args()
    for file in asked.files:
        told = sources(file)
        add(
            file,
            repo=asked.repo or told.get("model", file.stem),
            source=asked.source or told.get("where the copy was found", "not said"),
            certainty=asked.certainty or told.get("how sure", "not said"),
        )


def sources(file: Path) -> dict[str, str]:
    """What a SOURCES.tsv beside the file says of it."""
    table = file.parent / "SOURCES.tsv"
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        return next((row for row in rows if row["file"] == file.name), {})


def add(file: Path, *, repo: str, source: str, certainty: str) -> None:
    """Write the small config of a file, and the reference where one can be made."""
    config = small(json.loads(file.read_text("utf-8")))
    commit(file.stem.lower(), config, {"repo": repo, "source": source, "certainty": certainty})


def commit(name: str, config: dict[str, Any], origin: Mapping[str, str]) -> None:
    """Write a small config with what is to become of it, and the reference where one can be made."""
    family = family_for(config, ())
    content: dict[str, Any] = {**origin, "config": config, "told": []}
    DATA.mkdir(exist_ok=True)
    if family is None:
        content |= {"expected": "no row"}
    elif problems := problems_of(config, family):
        content |= {"expected": "refuse", "told": [problem.partition(" = ")[0] for problem in problems]}
    else:
        record, logits = reference(config, family, name)
        content |= {"expected": "convert", "record": record, "tolerance": 5e-3 if family.rope_drift else 1e-4}
        if record is not None:
            np.savez_compressed(DATA / f"{name}.npz", logits=logits)
    (DATA / f"{name}.json").write_text(readable(content) + "\n", "utf-8")
    print(f"{name}: {content['expected']}{'' if content.get('record') else ', no reference'}")  # noqa: T201


def problems_of(config: Mapping[str, Any], family: Family) -> tuple[str, ...]:
    """What hubbot holds against the config."""
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None
    return resolution.resolve(config, family, fields).problems


def reference(config: Mapping[str, Any], family: Family, name: str) -> tuple[dict[str, Any] | None, Any]:
    """The record of transformers' model of this very config, and its logits; None where there is no such class."""
    if readers(family.transformers_type or family.model_type) is None:
        return None, None
    try:
        import torch  # noqa: PLC0415 - the tests never need it
    except ImportError:
        sys.exit("torch and transformers are needed to make a reference: pip install -e '.[references]'")
    from tests.reference import checkpoints, make  # noqa: PLC0415 - imports torch
    from tests.reference.rows import Model  # noqa: PLC0415

    torch.set_num_threads(1)
    network = build(config, family)
    model = Model(name="base", forms=("orig",))
    parameters = make.describe_parameters(network, model)
    vocabulary = network.config.get_text_config().vocab_size
    for seed in (zlib.crc32(name.encode()) + turn for turn in range(10)):
        make.SEED = seed
        record: dict[str, Any] = {
            "model_type": family.model_type, "model": "base", "seed": seed, "ids": make.draw_ids(vocabulary),
            "parameters": parameters, "layouts": {},
        }  # fmt: skip
        record["layouts"]["orig"] = make.trace(network, record, original=True)
        make.fill(network, checkpoints.parameter_values(record))
        logits = make.answer(network, record["ids"])
        try:
            make.refuse_ties(network, record, logits)
        except SystemExit:
            continue
        return record, logits
    sys.exit(f"{family.model_type}: a router is near a tie with every seed")


def build(config: Mapping[str, Any], family: Family) -> Any:
    """transformers' model of the config as it would read it from the Hub."""
    import torch  # noqa: PLC0415 - the tests never need it
    import transformers  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        written = {**config, "model_type": family.transformers_type or family.model_type}
        (Path(folder) / "config.json").write_text(json.dumps(written))
        read = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    shrink_tower(read)
    auto = SEEING if type(read) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING else "AutoModelForCausalLM"
    network = getattr(transformers, auto).from_config(
        read, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    )
    if family.model_type == "llama4":
        # Llama4ForConditionalGeneration of transformers 5.24 answers only where there are images.
        network.forward = network.language_model.forward
    return network.eval()


def shrink_tower(config: Any) -> None:
    """Cut a tower whose sizes the config file spells as its vendor's code reads them: no text goes through it."""
    tower = getattr(config, "vision_config", None)
    for key, limit in VISION_LIMITS.items():
        size = getattr(tower, key, None)
        if isinstance(size, int) and size > limit:
            setattr(tower, key, limit)
    if tower is not None and hasattr(config, "projection_hidden_size"):
        config.projection_hidden_size = tower.hidden_size


def readable(value: Any, indent: int = 0) -> str:
    """JSON with one line for whatever fits one."""
    line = json.dumps(value, sort_keys=True)
    if len(line) <= 160 - indent or not isinstance(value, dict):
        return line
    pad = " " * (indent + 1)
    items = (f"{pad}{json.dumps(key)}: {readable(item, indent + 1)}" for key, item in sorted(value.items()))
    return "{\n" + ",\n".join(items) + "\n" + " " * indent + "}"


if __name__ == "__main__":
    main()
