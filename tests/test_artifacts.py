from typing import Any

import pytest

from hubbot.artifacts import GATES, Approved, Artifact, Finding, Report, Status
from hubbot.checkpoints import FileInfo, Repo
from hubbot.errors import StructureMismatch, ValueMismatch

ARTIFACT = Artifact(
    source=Repo(id="org/model", revision="0" * 40),
    variant="4bit",
    path="out/4bit",
    files=(FileInfo(path="config.json", size=3, sha256="ab"),),
    nbytes=12,
    bits_per_weight=4.5,
)


def finding(gate: str, status: Status, **more: Any) -> Finding:
    words: dict[str, Any] = {
        "check": "names",
        "subject": "layer 3",
        "measured": 1,
        "allowed": 0,
        "reason": "because",
    } | more
    return Finding(gate=gate, status=status, **words)


def report(*findings: Finding) -> Report:
    return Report(artifact=ARTIFACT, findings=findings, digests={"config.json": "ab"})


GOOD = (finding("structure", "pass"), finding("values", "pass"), finding("tracer", "pass"))


def test_structure_values_and_tracer_passed_and_nothing_failed_is_approved() -> None:
    assert report(*GOOD).verdict == "approved"
    assert report(*GOOD).approve().artifact is ARTIFACT


@pytest.mark.parametrize("gate", GATES)
def test_one_failure_in_any_gate_refuses_whatever_else_passed(gate: str) -> None:
    made = report(*GOOD, *(finding(gate, "pass") for gate in GATES), finding(gate, "fail"))
    assert made.verdict == "refused"
    assert made.gates[gate] == "fail"


@pytest.mark.parametrize("gate", ["structure", "values"])
@pytest.mark.parametrize("status", ["not-run", "not-applicable", None])
def test_a_required_gate_that_did_not_pass_refuses(gate: str, status: Status | None) -> None:
    others = [item for item in GOOD if item.gate != gate]
    made = report(*others, *([finding(gate, status)] if status else []))
    assert made.verdict == "refused"
    with pytest.raises(StructureMismatch, match=f"{gate} did not pass"):
        made.approve()


@pytest.mark.parametrize("status", ["not-run", None])
def test_a_tracer_that_did_not_run_refuses_and_the_reason_is_told(status: Status | None) -> None:
    others = [item for item in GOOD if item.gate != "tracer"]
    made = report(*others, *([finding("tracer", status)] if status else []))
    assert made.verdict == "refused"
    with pytest.raises(StructureMismatch, match=("^because" if status else "^no gate") + ".*tracer did not pass"):
        made.approve()


def test_a_tracer_that_does_not_apply_is_no_obstacle() -> None:
    others = [item for item in GOOD if item.gate != "tracer"]
    assert report(*others, finding("tracer", "not-applicable")).verdict == "approved"


def test_no_findings_at_all_are_not_run_and_refused() -> None:
    made = report()
    assert set(made.gates.values()) == {"not-run"}
    assert made.verdict == "refused"
    with pytest.raises(StructureMismatch, match="structure and values and tracer did not pass"):
        made.approve()


def test_a_failure_in_a_gate_that_is_not_listed_refuses_too() -> None:
    assert report(*GOOD, finding("surprise", "fail")).verdict == "refused"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["pass", "fail"], "fail"),
        (["fail", "not-run"], "fail"),
        (["pass", "not-run"], "pass"),
        (["pass", "not-applicable"], "pass"),
        (["not-applicable", "not-run"], "not-applicable"),
        (["not-run"], "not-run"),
    ],
)
def test_a_gates_status_is_its_worst_decided_finding(statuses: list[Status], expected: str) -> None:
    assert report(*(finding("structure", status) for status in statuses)).gates["structure"] == expected


def test_the_other_gates_may_be_not_run_but_are_never_shown_as_passed() -> None:
    made = report(*GOOD)
    assert {gate: made.gates[gate] for gate in ("parity", "behaviour")} == dict.fromkeys(
        ("parity", "behaviour"), "not-run"
    )


def test_approved_cannot_be_made_from_a_refused_report_by_hand() -> None:
    with pytest.raises(StructureMismatch, match="cannot be approved"):
        Approved(report=report(*GOOD, finding("values", "fail")))


def test_the_objection_names_check_subject_numbers_and_how_many_more() -> None:
    bad = finding("values", "fail", check="contrast", subject="layer 1, expert 3", measured=7, allowed=0)
    with pytest.raises(ValueMismatch, match=r"contrast: because; measured 7, allowed 0, and 1 more") as caught:
        report(*GOOD, bad, finding("structure", "fail")).approve()
    assert caught.value.where == "4bit, layer 1, expert 3"


def test_a_structure_failure_is_a_structure_mismatch() -> None:
    with pytest.raises(StructureMismatch, match="names: because"):
        report(*GOOD, finding("structure", "fail")).approve()


def test_json_takes_a_report_back_and_derives_the_verdict_again() -> None:
    made = report(*GOOD, finding("values", "fail"))
    data = made.to_json() | {"verdict": "approved", "gates": dict.fromkeys(GATES, "pass")}
    again = Report.from_json(data)
    assert again == made
    assert again.verdict == "refused"
    assert set(made.to_json()["gates"]) == set(GATES)


def test_json_takes_an_artifact_back() -> None:
    assert Artifact.from_json(ARTIFACT.to_json()) == ARTIFACT
