"""Gate 4: transformers and the artifact's runtime compute the same function, shown on a small twin of both.

The twin is a shrunken model with the source's kinds of layers. Its weights are drawn in transformers and read
by the referee, not by the converter, into the runtime's class, built from the artifact's config. It needs torch.
"""

import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hubbot.artifacts import Finding
from hubbot.catalogue import resolution, runtimes
from hubbot.catalogue.experts import expert_layouts
from hubbot.catalogue.families import Family
from hubbot.catalogue.tensors import without_drops
from hubbot.catalogue.towers import VISION
from hubbot.checkpoints import Checkpoint, Repo
from hubbot.checks.parity import finding
from hubbot.checks.parity.logit_comparison import ALLOWED, Comparison, compare
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.readers.tensor_files import TensorFiles
from hubbot.checks.readers.whole_tensors import unquantized_config, whole
from hubbot.checks.subject import RUNNING_FAULTS, Outcome, Subject
from hubbot.checks.twins.shrinking import shrink
from hubbot.runtime import loading, probe

if TYPE_CHECKING:
    from hubbot.checks.parity.transformers_twin import TransformersTwin

MISSING = "hubbot[reference] (torch and transformers) is not installed"
# A source of at most so many elements is its own twin.
SMALL = 4_000_000
TOKENS = 32
_PICTURE = re.compile(r"(?:image|video|audio|media\w*)_token_(?:id|index)")
DRAWS = 2
SEED = 20_26
# What weights of a twin are scaled by, draw after draw: a deep twin may need a calmer one to be decided.
GAINS = (1.2, 1.2, 1.2, 0.9, 0.9, 0.6, 0.6, 0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What both sides of a twin are built from: the source's config shrunk, and the artifact's likewise.

    `told` says what was taken out of the comparison because it is known to differ.
    """

    family: Family
    source: Mapping[str, Any]
    artifact: Mapping[str, Any]
    fused: bool
    told: str = ""


def check(subject: Subject) -> Outcome:
    """Return the gate's findings; not-run, with the reason, where no shrunken model of it can be built."""
    try:
        return Outcome(findings=tuple(_findings(subject)))
    except RUNNING_FAULTS as error:
        return Outcome(findings=(finding.broken(error),))


def _findings(subject: Subject) -> Iterator[Finding]:
    checkpoint = subject.checkpoint
    if find_spec("torch") is None:
        yield finding.not_run(MISSING)
        return
    unread = [key for key in subject.family.unread if key in checkpoint.config]
    if unread:
        told = f"transformers does not read {unread[0]}: a twin of this config would be another model"
        yield finding.not_run(told, subject="twin")
        return
    try:
        pair = pair_of(checkpoint, subject.family, subject.config)
        compared = list(_compare(pair))
        told = pair.told
    except Exception as error:  # noqa: BLE001 - a class of transformers can fail in any way on a small config
        told = f"{type(error).__name__}: {str(error).strip()[:200]}"
        yield finding.not_run(f"no twin can be built: {told}", subject="twin")
        return
    yield from _judge(compared, told)


def pair_of(checkpoint: Checkpoint, family: Family, config: Mapping[str, Any]) -> Pair:
    """Return both configs of the twin: an artifact's own values stay, but for those that shrinking changes."""
    source = dict(checkpoint.config)
    if sum(math.prod(tensor.shape) for tensor in checkpoint.tensors.values()) > SMALL:
        source = shrink(source, without_drops(checkpoint, family)[0].tensors)
    source, told = _without_drift(source, family)
    before, after = (_resolved(item, family, sees=VISION in config) for item in (checkpoint.config, source))
    known, _ = expert_layouts.read_names(checkpoint.tensors)
    return Pair(
        family=family,
        source=source,
        artifact=_merged(unquantized_config(config), before, after),
        fused=any(tensor.projection == "gate_up" and tensor.row.key == "stacked_fused" for tensor in known),
        told=told,
    )


def _without_drift(config: Mapping[str, Any], family: Family) -> tuple[dict[str, Any], str]:
    """Return the config with yarn's ramp truncated, as mlx-lm does whatever it says, and what to say of it.

    The plan bounds what that comes to and notes it (`Family.rope_drift`); all else is compared to the last digit.
    """
    made, told = dict(config), ""
    for key in ("rope_scaling", "rope_parameters"):
        rope = made.get(key)
        if family.rope_drift and isinstance(rope, Mapping) and rope.get("truncate") is False:
            made[key] = {**rope, "truncate": True}
            told = "; with yarn's ramp truncated on both sides, which the plan's note bounds"
    return made, told


def _resolved(config: Mapping[str, Any], family: Family, *, sees: bool) -> Mapping[str, Any]:
    fields = runtimes.fields(family.runtime, family.model_file)
    assert fields is not None, "the caller found the runtime"
    return resolution.resolve(config, family, fields, sees=sees).config


def _merged(own: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return `own` with the values that differ between `before` and `after`, where it held the former."""
    made = dict(own)
    for key, value in after.items():
        if value == before.get(key):
            continue
        if isinstance(value, Mapping) and isinstance(own.get(key), Mapping):
            made[key] = _merged(own[key], before.get(key) or {}, value)
        elif own.get(key) == before.get(key) or isinstance(value, list | str):
            made[key] = value
    return made


def _compare(pair: Pair) -> Iterator[Comparison]:
    """Yield one comparison per draw of weights under which no router of the twin is near a tie."""
    from hubbot.checks.parity.transformers_twin import TransformersTwin  # noqa: PLC0415 - needs the extra

    twin = TransformersTwin(pair.source)
    ids = np.random.default_rng(SEED).integers(3, twin.vocabulary, TOKENS)
    # A token that stands for a picture is none of a text: without one transformers puts nothing in its place.
    ids[np.isin(ids, [value for key, value in pair.source.items() if _PICTURE.search(key)])] = 3
    made = 0
    for seed, gain in enumerate(GAINS, SEED):
        twin.seed(seed, gain)
        if made < DRAWS and twin.is_decided(ids, seed):
            made += 1
            yield compare(twin.run(ids), _run_in_runtime(twin, pair, ids))


def _run_in_runtime(twin: "TransformersTwin", pair: Pair, ids: Any) -> probe.Run:
    with tempfile.TemporaryDirectory(prefix="hubbot-twin-") as name:
        folder = Path(name)
        twin.save(folder, fused=pair.fused)
        written = replace(_checkpoint(folder), config={**pair.source})
        shapes = {parameter.name: parameter.shape for parameter in loading.skeleton(pair.artifact)}
        expected = Expectations(folder, written, pair.family, pair.artifact)
        return probe.run(pair.artifact, lambda names: ((n, whole(expected, n, shapes[n])) for n in names), ids)


def _checkpoint(folder: Path) -> Checkpoint:
    shards = tuple(sorted(path.name for path in folder.glob("*.safetensors")))
    return Checkpoint(
        repo=Repo(id=str(folder), revision="local-twin"),
        config=json.loads((folder / "config.json").read_text(encoding="utf-8")),
        card={}, files=(), tensors=TensorFiles(folder, shards).tensors, gated=False, private=False, requests=0,
        bytes_read=0,
    )  # fmt: skip


def _judge(compared: list[Comparison], told: str) -> Iterator[Finding]:
    if not compared:
        yield finding.not_run("every draw of weights left a router near a tie", subject="twin")
        return
    worst = max(compared, key=lambda item: item.relative)
    yield finding(
        "logits", "twin", worst.relative, ALLOWED, "pass" if worst.relative < ALLOWED else "fail",
        f"{len(compared)} draws of weights, {TOKENS} tokens, float32; largest at token {worst.position}{told}",
    )  # fmt: skip
    flipped = next((item.flipped for item in compared if item.flipped), "")
    if any(item.flipped is not None for item in compared):
        yield finding(
            "router choices", "twin", flipped or 0, 0, "fail" if flipped else "pass",
            "other experts than transformers chooses" if flipped else "the same experts for every token",
        )  # fmt: skip
