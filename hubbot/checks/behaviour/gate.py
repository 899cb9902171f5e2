"""Gate 5: the artifact predicts what the unquantized model predicts, within what its variant may lose.

Tiers apply only to a model that knows the text; of any other only NaN and infinity are refused.
"""

import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hubbot.artifacts import Finding, Status
from hubbot.catalogue.resolution import expert_count, experts_per_token
from hubbot.catalogue.variants.roles import role_of
from hubbot.catalogue.variants.tiers import tier_of, tiers_of
from hubbot.checks.behaviour import baseline_cache, finding, measurement, preconditions
from hubbot.checks.behaviour.budget import affordable_tokens
from hubbot.checks.behaviour.corpus import Text, read_text
from hubbot.checks.behaviour.divergence import Divergence
from hubbot.checks.behaviour.measurement import Deadline, Measured
from hubbot.checks.behaviour.source_model import open_dequantized, open_source
from hubbot.checks.readers.whole_tensors import unquantized_config
from hubbot.checks.subject import RUNNING_FAULTS, Outcome, Subject
from hubbot.errors import WrongUsage
from hubbot.files.sizes import readable
from hubbot.marks import fingerprint
from hubbot.runtime import loading
from hubbot.runtime.blas_products import blas_is_better, operations_per_second
from hubbot.runtime.layerwise import open_artifact

RELEASED = "the source's weights were released while converting; the values gate had judged every one of them"
UNBOUNDED_CONTEXT = 1 << 20
TOKENS = {"CPU": 2048, "GPU": 4096}
# What MLX raises for a mode that the present device has no kernel for (nvfp4 with a tensor scale on a CPU).
NOT_ON_THIS_DEVICE = (RuntimeError, ValueError)


def check(subject: Subject) -> Outcome:
    """Return the gate's findings and measurements; not-run, with the reason, where this device cannot run it.

    Raises WrongUsage where the corpus that was asked for cannot be read.
    """
    if subject.window_findings is not None:
        return _not_run(RELEASED)
    try:
        return check_behaviour(subject)
    except WrongUsage:
        raise
    except RuntimeError as error:  # MLX: no kernel, no memory; a broken artifact fails in structure and smoke
        return _not_run(f"this device cannot run it: {str(error)[:200]}")
    except RUNNING_FAULTS as error:
        return Outcome(findings=(finding.broken(error),))


def check_behaviour(subject: Subject) -> Outcome:
    """Run both models over the text and judge how far apart their predictions are; raises what running raises."""
    examination = subject.examination
    needed = preconditions.largest_step_bytes(subject.shapes)
    if examination.memory_bytes is not None and needed > examination.memory_bytes:
        return _not_run(f"one layer needs {readable(needed)}, {readable(examination.memory_bytes)} are allowed")
    text = read_text(
        subject.folder, examination.corpus, tokens=examination.tokens or _affordable(subject),
        vocabulary=_vocabulary(subject.shapes), context=_context(subject.config),
    )  # fmt: skip
    clock = examination.clock
    deadline = Deadline(progress=subject.progress, clock=clock, stop_at=clock() + examination.seconds)
    try:
        measured = _measure(subject, text, deadline)
    except measurement.OutOfTime as error:
        return _not_run(f"{error}; {examination.seconds:.0f} seconds are allowed")
    changed = preconditions.first_changed(subject.stored, subject.expected) if measured.bit_equal else None
    return Outcome(
        findings=tuple(_judge(subject, text, measured, changed)),
        measurements=_measurements(text, measured),
    )


def _affordable(subject: Subject) -> int:
    """Return how many tokens this device can read in the time that is allowed."""
    config = subject.checkpoint.config
    experts, chosen = expert_count(config), experts_per_token(config)
    share = min(1.0, chosen / experts[1]) if experts and experts[1] and chosen else 1.0
    return affordable_tokens(
        TOKENS[loading.describe()["device"]],
        weights=preconditions.weights_per_token(subject.shapes, subject.expected, share),
        rate=operations_per_second(), seconds=subject.examination.seconds,
    )  # fmt: skip


def _measure(subject: Subject, text: Text, deadline: Deadline) -> Measured:
    config = unquantized_config(subject.config)
    by_blas = blas_is_better()
    key = fingerprint([asdict(subject.artifact.source), config, text.ids.tolist(), loading.versions(), by_blas])[
        :32
    ]
    answers = subject.examination.answers
    keep = nullcontext(answers) if answers else tempfile.TemporaryDirectory()
    with keep as store:
        base = baseline_cache.find(Path(store), key)
        if base is None:
            source = open_source(subject.config, subject.expected, subject.shapes, by_blas=by_blas)
            base = measurement.answer(source, text, Path(store), key, deadline)
        try:
            artifact = open_artifact(subject.folder, by_blas=by_blas)
            return measurement.compare(artifact, text, base, deadline, weights="as stored")
        except NOT_ON_THIS_DEVICE:
            decoded = open_dequantized(subject.config, subject.stored, by_blas=by_blas)
            return measurement.compare(
                decoded, text, base, deadline, weights="dequantized: no kernel on this device"
            )


def _judge(subject: Subject, text: Text, measured: Measured, changed: str | None) -> list[Finding]:
    if measured.base_not_finite or measured.not_finite:
        whose = "the source's own" if measured.base_not_finite else "the artifact's"
        count = measured.base_not_finite or measured.not_finite
        return [finding("finite logits", "logits", count, 0, "fail", f"{whose} logits are NaN or infinite")]
    assert measured.divergence is not None, "finite logits have a divergence"
    if changed is not None:
        reason = "logits are the unquantized model's bit for bit, although quantization changed this tensor"
        return [finding("bit-equal logits", changed, "equal", "different", "fail", reason)]
    obstacle = text.obstacle or _unfamiliar(measured)
    if obstacle:
        told = f"{obstacle}; every logit is finite"
        found = measured.divergence.rounded()
        return [finding("tier", subject.artifact.variant, found, None, "not-applicable", told)]
    return [
        finding("finite logits", "logits", 0, 0, "pass", f"{measured.divergence.tokens} tokens of {text.name}"),
        _tier(subject, measured.divergence),
    ]


def _tier(subject: Subject, found: Divergence) -> Finding:
    variant = subject.artifact.variant
    tiers = tiers_of(variant, preconditions.narrowest_bits(subject.stored))
    mean, flips = found.kl_mean, 1 - found.same_top.value
    tier = tier_of(tiers, kl_mean=mean.value, kl_p99=found.kl_p99, flips=flips)
    # A small sample must not refuse by chance: means are given twice their standard error.
    lenient = tier_of(
        tiers,
        kl_mean=mean.value - 2 * mean.error,
        kl_p99=found.kl_p99,
        flips=flips - 2 * found.same_top.error,
    )
    if tier == "refused" and lenient != "refused":
        tier = "marginal"
    status: Status = "fail" if tier == "refused" else "pass"
    return finding("tier", variant, found.rounded(), asdict(tiers.marginal), status, _told(tier, found))


def _told(tier: str, found: Divergence) -> str:
    return (
        f"{tier}: mean KL divergence {found.kl_mean.value:.4f} ± {found.kl_mean.error:.4f}, "
        f"same top token {100 * found.same_top.value:.1f} %, over {found.tokens} tokens"
    )


def _unfamiliar(measured: Measured) -> str | None:
    assert measured.divergence is not None, "finite logits have a divergence"
    perplexity, limit = measured.divergence.base_perplexity.value, measured.vocabulary / 2
    if perplexity < limit:
        return None
    return f"the unquantized model does not know this text: perplexity {perplexity:.0f}, known below {limit:.0f}"


def _measurements(text: Text, measured: Measured) -> dict[str, Any]:
    multiplier = "numpy's BLAS" if blas_is_better() else "MLX"
    return {
        "text": {
            "name": text.name, "sha256": text.sha256, "windows": len(text.ids), "window": text.ids.shape[1],
            "is_text": text.obstacle is None,
        },
        "divergence": measured.divergence.to_json() if measured.divergence else None,
        "layer_cosines": list(measured.cosines),
        "device": loading.describe(),
        "arithmetic": f"float32, layer by layer, {measured.weights}, products by {multiplier}",
    }  # fmt: skip


def _vocabulary(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return next(shape[0] for name, shape in shapes.items() if role_of(name) == "embedding")


def _context(config: Mapping[str, Any]) -> int:
    text = config.get("text_config")
    found = (text if isinstance(text, Mapping) else config).get("max_position_embeddings")
    return found if isinstance(found, int) and found >= 8 else UNBOUNDED_CONTEXT


def _not_run(reason: str) -> Outcome:
    return Outcome(findings=(finding.not_run(reason),))
