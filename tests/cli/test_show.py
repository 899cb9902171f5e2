"""show: state, history and results of one job."""

from pathlib import Path

from hubbot.lifecycle import State
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
    assert set(record["history"][0]) == {"stage", "started_at", "ended_at", "outcome", "error"}
    assert [result["kind"] for result in record["results"]] == ["checkpoint"]
    page = hubbot("show", "1").out
    for word in ("fables/Hare-dense", "skipped at stage classify", "NotMixtureOfExperts", "history"):
        assert word in page
