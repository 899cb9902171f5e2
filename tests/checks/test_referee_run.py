from pathlib import Path
from typing import Any

import pytest

from hubbot.artifacts import Finding
from hubbot.checks import referee_run
from hubbot.checks.behaviour.budget import Examination
from hubbot.checks.referee import described
from hubbot.errors import WrongUsage
from tests.checkpoints_on_disk import Workshop, quietly

SOURCE = "mixtral/hub"


def run(workshop: Workshop, *so_far: Finding, **bounds: Any) -> dict[str, Finding]:
    source = workshop.source(SOURCE)
    artifact = described(source.checkpoint, workshop.artifact(SOURCE, "4bit"))
    outcome = referee_run.check_computed(
        source.checkpoint, source.folder, artifact, so_far, Examination(**bounds), quietly
    )
    return {finding.gate: finding for finding in outcome.findings}


def failing(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, error: Exception) -> Finding:
    def fail(*_args: Any) -> None:
        raise error

    monkeypatch.setattr(referee_run, "check_behaviour", fail)
    return run(workshop)["behaviour"]


def test_what_is_refused_already_is_not_run(workshop: Workshop) -> None:
    bad = Finding(
        gate="values", check="contrast", subject="x", measured=1, allowed=0, status="fail", reason="swapped"
    )
    found = run(workshop, bad)
    assert {finding.status for finding in found.values()} == {"not-run"}
    assert all("refused already: values, contrast" in finding.reason for finding in found.values())


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
    with pytest.raises(WrongUsage, match="corpus"):
        run(workshop, corpus=tmp_path / "missing.txt")
