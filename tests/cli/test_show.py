"""show: state, history and results of one job."""

from pathlib import Path

from hubbot.jobs.open_records import open_records
from hubbot.lifecycle import State
from hubbot.settings import load
from tests.cli.conftest import Shell
from tests.hub.embedded import Site


def test_show_tells_the_whole_story(hubbot: Shell, site: Site, machine: Path) -> None:
    hubbot("enqueue", "fables/Hare-dense", "--json")
    assert hubbot("run", "--once", "--json").code == 0
    record = hubbot("show", "1", "--json").json
    assert (record["state"], record["error"]["kind"]) == (State.SKIPPED, "NotMixtureOfExperts")
    assert [(entry["stage"], entry["outcome"]) for entry in record["history"]] == [
        ("inspect", "done"),
        ("classify", "skipped"),
    ]
    assert set(record["history"][0]) == {"stage", "started_at", "ended_at", "seconds", "outcome", "error"}
    assert all(0 <= entry["seconds"] < 60 for entry in record["history"])
    assert [result["kind"] for result in record["results"]] == ["checkpoint"]
    page = hubbot("show", "1").out
    for word in ("fables/Hare-dense", "skipped at stage classify", "NotMixtureOfExperts", "history"):
        assert word in page


def test_show_calls_a_layout_of_an_earlier_version_by_its_word(hubbot: Shell, job_id: str) -> None:
    with open_records(load()) as records:
        records.results.put(int(job_id), "layout", {"row": "E", "naming": "stacked fused"})
    (found,) = hubbot("show", job_id, "--json").json["results"]
    assert found["data"] == {"row": "stacked_fused", "naming": "stacked fused"}


def test_show_says_which_courtesies_were_refused(hubbot: Shell, job_id: str) -> None:
    refused = {"repo": "me/x", "refused": {"collection": "the Hub refused with 501: not here"}}
    with open_records(load()) as records:
        records.results.put(int(job_id), "owed", refused, "4bit")
    page = " ".join(hubbot("show", job_id).out.split())
    assert "me/x is published without its collection, which is tried again later: the Hub refused with 501" in page
