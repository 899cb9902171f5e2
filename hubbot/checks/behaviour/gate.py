"""Gate 5: the artifact predicts what the unquantized model predicts, within what its variant may lose.

Tiers apply only to a model that knows the text; of any other only NaN and infinity are refused.
"""

import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hubbot.artifacts import Artifact, Finding, Status
from hubbot.catalogue.variants.roles import role_of
from hubbot.catalogue.variants.tiers import tier_of, tiers_of
from hubbot.checks.behaviour import baseline_cache, measurement, preconditions
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.behaviour.corpus import Text, read_text
from hubbot.checks.behaviour.divergence import Divergence
from hubbot.checks.behaviour.measurement import Measured, Pace
from hubbot.checks.behaviour.source_model import open_dequantized, open_source, unquantized_config
from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.marks import fingerprint
from hubbot.progress import Progress
from hubbot.runtime import loading
from hubbot.runtime.layerwise import open_artifact

GATE = "behaviour"
UNBOUNDED_CONTEXT = 1 << 20
TOKENS = {"CPU": 2048, "GPU": 4096}
# What MLX raises for a mode that the present device has no kernel for (nvfp4 with a tensor scale on a CPU).
NOT_ON_THIS_DEVICE = (RuntimeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examinee:
    """An artifact whose structure and values are proven, with what the source says it holds."""

    artifact: Artifact
    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    stored: StoredParameters
    expected: Expectations

    @property
    def folder(self) -> Path:
        """Return the artifact's folder."""
        return Path(self.artifact.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The findings, and the measurements as plain data for the report (None where nothing was measured)."""

    findings: tuple[Finding, ...]
    measurements: Mapping[str, Any] | None


def check_behaviour(examinee: Examinee, examination: Examination, progress: Progress) -> Outcome:
    """Run both models over the text and judge how far they are apart."""
    needed = preconditions.largest_step_bytes(examinee.shapes)
    if examination.memory_bytes is not None and needed > examination.memory_bytes:
        return _not_run(
            f"one layer needs {needed / 1e9:.2f} GB, {examination.memory_bytes / 1e9:.2f} GB are allowed"
        )
    text = read_text(
        examinee.folder, examination.corpus, tokens=examination.tokens or TOKENS[loading.describe()["device"]],
        vocabulary=_vocabulary(examinee.shapes), context=_context(examinee.config),
    )  # fmt: skip
    clock = examination.clock
    pace = Pace(progress=progress, clock=clock, deadline=clock() + examination.seconds)
    try:
        measured = _measure(examinee, examination, text, pace)
    except measurement.OutOfTime as error:
        return _not_run(f"{error}; {examination.seconds:.0f} seconds are allowed")
    changed = preconditions.first_changed(examinee.stored, examinee.expected) if measured.bit_equal else None
    return Outcome(
        findings=tuple(_judge(examinee, text, measured, changed)),
        measurements=_measurements(text, measured),
    )


def _measure(examinee: Examinee, examination: Examination, text: Text, pace: Pace) -> Measured:
    config = unquantized_config(examinee.config)
    key = fingerprint([asdict(examinee.artifact.source), config, text.ids.tolist(), loading.versions()])[:32]
    keep = nullcontext(examination.answers) if examination.answers else tempfile.TemporaryDirectory()
    with keep as store:
        base = baseline_cache.find(Path(store), key)
        if base is None:
            source = open_source(examinee.config, examinee.expected, examinee.shapes)
            base = measurement.answer(source, text, Path(store), key, pace)
        try:
            return measurement.compare(open_artifact(examinee.folder), text, base, pace, weights="as stored")
        except NOT_ON_THIS_DEVICE:
            decoded = open_dequantized(examinee.config, examinee.stored)
            return measurement.compare(decoded, text, base, pace, weights="dequantized: no kernel on this device")


def _judge(examinee: Examinee, text: Text, measured: Measured, changed: str | None) -> list[Finding]:
    if measured.base_not_finite or measured.not_finite:
        whose = "the source's own" if measured.base_not_finite else "the artifact's"
        count = measured.base_not_finite or measured.not_finite
        return [_finding("finite logits", "logits", count, 0, "fail", f"{whose} logits are NaN or infinite")]
    assert measured.divergence is not None, "finite logits have a divergence"
    if changed is not None:
        reason = "logits are the unquantized model's bit for bit, although quantization changed this tensor"
        return [_finding("bit-equal logits", changed, "equal", "different", "fail", reason)]
    obstacle = text.obstacle or _unfamiliar(measured)
    if obstacle:
        told = f"{obstacle}; every logit is finite"
        found = measured.divergence.rounded()
        return [_finding("tier", examinee.artifact.variant, found, None, "not-applicable", told)]
    return [
        _finding("finite logits", "logits", 0, 0, "pass", f"{measured.divergence.tokens} tokens of {text.name}"),
        _tier(examinee, measured.divergence),
    ]


def _tier(examinee: Examinee, found: Divergence) -> Finding:
    variant = examinee.artifact.variant
    tiers = tiers_of(variant, preconditions.narrowest_bits(examinee.stored))
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
    return _finding("tier", variant, found.rounded(), asdict(tiers.marginal), status, _told(tier, found))


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
    return {
        "text": {
            "name": text.name, "sha256": text.sha256, "windows": len(text.ids), "window": text.ids.shape[1],
            "is_text": text.obstacle is None,
        },
        "divergence": measured.divergence.to_json() if measured.divergence else None,
        "layer_cosines": list(measured.cosines),
        "device": loading.describe(),
        "arithmetic": f"float32, layer by layer, {measured.weights}",
    }  # fmt: skip


def _vocabulary(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return next(shape[0] for name, shape in shapes.items() if role_of(name) == "embedding")


def _context(config: Mapping[str, Any]) -> int:
    text = config.get("text_config")
    found = (text if isinstance(text, Mapping) else config).get("max_position_embeddings")
    return found if isinstance(found, int) and found >= 8 else UNBOUNDED_CONTEXT


def _not_run(reason: str) -> Outcome:
    return Outcome(findings=(_finding(GATE, "artifact", None, None, "not-run", reason),), measurements=None)


def _finding(check: str, subject: str, measured: Any, allowed: Any, status: Status, reason: str) -> Finding:
    return Finding(
        gate=GATE, check=check, subject=subject, measured=measured, allowed=allowed, status=status, reason=reason
    )
