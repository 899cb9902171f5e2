import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from hubbot.artifacts import Finding
from hubbot.catalogue.variants.named_variants import VARIANTS
from hubbot.checks.behaviour import gate, measurement, preconditions, source_model
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.behaviour.corpus import read_text
from hubbot.checks.behaviour.gate import check_behaviour
from hubbot.checks.subject import Outcome, Subject, subject_of
from hubbot.devhub.demo_repos import write_demo_repos
from hubbot.errors import WrongUsage
from hubbot.progress import Progress
from hubbot.runtime import layerwise
from tests.checkpoints_on_disk import (
    CONVERTIBLE,
    Source,
    Workshop,
    answer,
    converted,
    look,
    quietly,
    read_folder,
    rewrite,
    stock_model,
)

SOURCE = "qwen3_moe/bf16"
STORIES = "Once upon a time there was a shy fox named Fenn. He lived under an old oak tree. "


def examined(source: Source, folder: Path, progress: Progress = quietly, **bounds: Any) -> Subject:
    examination = Examination(**bounds)
    return subject_of(source.checkpoint, source.folder, folder, progress=progress, examination=examination)


def judged(source: Source, folder: Path, **bounds: Any) -> Outcome:
    return check_behaviour(examined(source, folder, **bounds))


def only(outcome: Outcome) -> Finding:
    (finding,) = outcome.findings
    return finding


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, dict[str, Path], Path]:
    """A small trained model, three variants of it, and a text that it knows."""
    root = tmp_path_factory.mktemp("speaker")
    exhibits = {exhibit.repo_id: exhibit.folder for exhibit in write_demo_repos(root / "exhibits")}
    source = look(exhibits["fables/Fox-8x-MoE-per-expert"])
    corpus = root / "stories.txt"
    corpus.write_text(STORIES * 60)
    return source, converted(source, root / "out", "bf16", "8bit", "4bit", "3bit"), corpus


@pytest.mark.parametrize("variant", ["bf16", "8bit", "4bit"])
def test_a_trained_models_variants_get_a_tier_and_every_figure(
    variant: str, speaker: tuple[Source, dict[str, Path], Path]
) -> None:
    source, made, corpus = speaker
    outcome = judged(source, made[variant], corpus=corpus, tokens=512)
    finite, tier = outcome.findings
    assert (finite.check, finite.status) == ("finite logits", "pass")
    assert (tier.check, tier.status) == ("tier", "pass")
    assert tier.reason.startswith(("good", "marginal"))
    assert {"kl_mean", "kl_mean_error", "kl_median", "kl_p99", "kl_p999", "kl_max"} <= set(tier.measured)
    assert {"same_top", "rms_delta_p", "perplexity", "base_perplexity", "perplexity_ratio"} <= set(tier.measured)
    assert outcome.measurements["text"]["name"] == "stories.txt"
    assert len(outcome.measurements["layer_cosines"]) == 3
    json.dumps(outcome.measurements)


def test_fewer_bits_diverge_more_and_the_error_grows_with_depth(
    speaker: tuple[Source, dict[str, Path], Path],
) -> None:
    source, made, corpus = speaker
    outcomes = [judged(source, made[name], corpus=corpus, tokens=512) for name in ("bf16", "8bit", "4bit", "3bit")]
    means = [outcome.findings[-1].measured["kl_mean"] for outcome in outcomes]
    assert means[0] == 0.0  # the source is stored in bf16
    assert means == sorted(set(means))
    last = [outcome.measurements["layer_cosines"][-1] for outcome in outcomes if outcome.measurements]
    assert last == sorted(set(last), reverse=True)


def test_the_figures_are_those_of_the_two_whole_models(speaker: tuple[Source, dict[str, Path], Path]) -> None:
    source, made, corpus = speaker
    outcome = judged(source, made["4bit"], corpus=corpus, tokens=512)
    text = read_text(made["4bit"], corpus, tokens=512, vocabulary=768, context=256)
    whole, small = stock_model(made["bf16"]), stock_model(made["4bit"])
    small.set_dtype(mx.float32)
    divergences = []
    for ids in text.ids:
        left, right = (log_softmax(answer(model, ids)[text.scored_from : -1]) for model in (whole, small))
        divergences.append((np.exp(left) * (left - right)).sum(axis=-1))
    assert outcome.findings[-1].measured["kl_mean"] == pytest.approx(np.mean(divergences), rel=1e-3)


def log_softmax(logits: Any) -> Any:
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def test_a_variant_beyond_its_tiers_is_refused(speaker: tuple[Source, dict[str, Path], Path]) -> None:
    source, made, corpus = speaker
    subject = examined(source, made["3bit"], corpus=corpus, tokens=512)
    posing = dataclasses.replace(subject, artifact=dataclasses.replace(subject.artifact, variant="8bit"))
    tier = check_behaviour(posing).findings[-1]
    assert tier.status == "fail"
    assert tier.reason.startswith("refused")
    assert tier.measured["kl_mean"] > tier.allowed["kl_mean"]


def test_a_text_that_the_model_does_not_know_gives_figures_and_no_tier(
    speaker: tuple[Source, dict[str, Path], Path],
) -> None:
    source, made, _ = speaker
    finding = only(judged(source, made["4bit"], tokens=512))
    assert (finding.check, finding.status) == ("tier", "not-applicable")
    assert "does not know this text" in finding.reason
    assert finding.measured["kl_mean"] > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_untrained_reference_is_refused_in_any_variant(variant: str, workshop: Workshop) -> None:
    finding = only(judged(workshop.source(SOURCE), workshop.artifact(SOURCE, variant)))
    assert finding.status == "not-applicable"
    assert "no tokenizer" in finding.reason


@pytest.mark.parametrize("name", [made.name for made in CONVERTIBLE if made.form in {"orig", "v5"}])
def test_every_familys_source_read_by_the_referee_is_the_model_that_was_converted(
    name: str, workshop: Workshop
) -> None:
    finding = only(judged(workshop.source(name), workshop.artifact(name, "fp32")))
    assert finding.status == "not-applicable"
    assert finding.measured["kl_max"] < 1e-9


def test_a_number_that_is_none_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    folder = workshop.copy(SOURCE, "bf16", tmp_path / "bf16")
    stored = read_folder(folder)
    stored["model.norm.weight"][1][3] = 0x7F80
    rewrite(folder, stored)
    finding = only(judged(workshop.source(SOURCE), folder))
    assert (finding.check, finding.status) == ("finite logits", "fail")
    assert finding.measured > 0


def test_logits_that_quantization_did_not_touch_are_refused(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, folder = workshop.source(SOURCE), workshop.artifact(SOURCE, "4bit")
    subject = examined(source, folder)
    monkeypatch.setattr(
        gate,
        "open_artifact",
        lambda _folder, by_blas: source_model.open_source(
            subject.config, subject.expected, subject.shapes, by_blas=by_blas
        ),
    )
    finding = only(check_behaviour(subject))
    assert (finding.check, finding.status) == ("bit-equal logits", "fail")
    assert finding.subject.endswith("weight")


def test_equal_logits_of_an_unquantized_variant_are_fine(workshop: Workshop) -> None:
    finding = only(judged(workshop.source("qwen3_moe/hub"), workshop.artifact("qwen3_moe/hub", "fp32")))
    assert finding.status == "not-applicable"
    assert finding.measured["kl_max"] == 0.0


def test_the_unquantized_model_runs_once_for_all_variants_of_a_source(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    real: Callable[..., Any] = measurement.answer

    def counted(*args: Any) -> Any:
        runs.append(args[3])
        return real(*args)

    monkeypatch.setattr(measurement, "answer", counted)
    outcomes = [
        judged(workshop.source(SOURCE), workshop.artifact(SOURCE, variant), answers=tmp_path)
        for variant in ("bf16", "8bit", "4bit", "8bit")
    ]
    assert len(runs) == 1
    assert outcomes[1].findings == outcomes[3].findings
    judged(workshop.source("mixtral/bf16"), workshop.artifact("mixtral/bf16", "8bit"), answers=tmp_path)
    assert len(set(runs)) == 2


def test_a_device_without_a_kernel_compares_the_dequantized_weights(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, folder = workshop.source(SOURCE), workshop.artifact(SOURCE, "4bit")
    usual = judged(source, folder)

    def refuse(_folder: Path, *, by_blas: bool) -> layerwise.LayerwiseModel:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(gate, "open_artifact", refuse)
    other = judged(source, folder)
    assert "dequantized" in other.measurements["arithmetic"]
    assert only(other).measured["kl_mean"] == pytest.approx(only(usual).measured["kl_mean"], rel=1e-3)


def test_what_takes_too_long_or_too_much_memory_is_not_run_and_says_so(workshop: Workshop) -> None:
    source, folder = workshop.source(SOURCE), workshop.artifact(SOURCE, "4bit")
    ticks = iter(range(1000))
    slow = only(judged(source, folder, seconds=1.5, clock=lambda: float(next(ticks))))
    large = only(judged(source, folder, memory_bytes=1000))
    assert (slow.status, large.status) == ("not-run", "not-run")
    assert "seconds are allowed" in slow.reason
    assert "are allowed" in large.reason


def test_progress_is_told_layer_by_layer_and_window_by_window(workshop: Workshop) -> None:
    told: list[tuple[int, int, str]] = []
    folder = workshop.artifact(SOURCE, "4bit")
    check_behaviour(examined(workshop.source(SOURCE), folder, lambda *step: told.append(step)))
    assert [step for step in told if step[2] == "variant, layers"] == [
        (1, 2, "variant, layers"),
        (2, 2, "variant, layers"),
    ]
    assert {what for _, _, what in told} == {
        f"{who}, {of}" for who in ("unquantized", "variant") for of in ("layers", "windows")
    }


def test_an_artifact_without_a_tokenizer_that_works_is_still_looked_at(
    speaker: tuple[Source, dict[str, Path], Path], tmp_path: Path
) -> None:
    source, made, corpus = speaker
    shutil.copytree(made["4bit"], tmp_path / "4bit")
    (tmp_path / "4bit" / "tokenizer.json").write_text("[]")
    finding = only(judged(source, tmp_path / "4bit", corpus=corpus))
    assert finding.status == "not-applicable"
    assert "cannot be used" in finding.reason


def failing(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, error: Exception) -> Finding:
    def fail(_subject: Subject) -> Outcome:
        raise error

    monkeypatch.setattr(gate, "check_behaviour", fail)
    return only(gate.check(examined(workshop.source(SOURCE), workshop.artifact(SOURCE, "4bit"))))


def test_a_device_that_cannot_run_it_says_nothing_against_the_artifact(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = failing(workshop, monkeypatch, RuntimeError("[metal::malloc] out of memory"))
    assert (finding.status, "out of memory" in finding.reason) == ("not-run", True)


def test_an_artifact_that_cannot_be_run_is_refused(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = failing(workshop, monkeypatch, KeyError("model.layers.0.mlp.gate.weight"))
    assert (finding.status, finding.check) == ("fail", "runs")
    assert "model.layers.0.mlp.gate.weight" in finding.measured


def test_a_corpus_that_is_missing_is_the_callers_mistake_not_the_artifacts(
    workshop: Workshop, tmp_path: Path
) -> None:
    folder = workshop.artifact(SOURCE, "4bit")
    with pytest.raises(WrongUsage, match="corpus"):
        gate.check(examined(workshop.source(SOURCE), folder, corpus=tmp_path / "missing.txt"))


def test_a_slow_device_reads_one_window_and_the_record_says_so(
    speaker: tuple[Source, dict[str, Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, made, corpus = speaker
    monkeypatch.setattr(gate, "operations_per_second", lambda: 1e6)
    read = judged(source, made["4bit"], corpus=corpus).measurements["text"]
    assert read["windows"] * read["window"] == 512
    monkeypatch.setattr(gate, "operations_per_second", lambda: 1e12)
    read = judged(source, made["4bit"], corpus=corpus).measurements["text"]
    assert read["windows"] * read["window"] > 512


def test_weights_of_a_token_count_only_the_experts_that_it_is_sent_to(workshop: Workshop) -> None:
    subject = examined(workshop.source(SOURCE), workshop.artifact(SOURCE, "4bit"))
    shapes, expected = subject.shapes, subject.expected
    whole = preconditions.weights_per_token(shapes, expected, 1.0)
    experts = sum(math.prod(shape) for name, shape in shapes.items() if expected.place(name))
    assert preconditions.weights_per_token(shapes, expected, 0.25) == whole - 0.75 * experts
