"""resume: a pause ends, outages stay."""

from datetime import UTC, datetime

from hubbot.jobs.open_records import open_records
from hubbot.lifecycle import Stage
from hubbot.settings import load
from hubbot.store.records import Outage
from tests.cli.conftest import Shell


def test_a_pause_is_ended_and_an_outage_of_the_hub_is_not(hubbot: Shell) -> None:
    assert hubbot("resume").out.strip() == "nothing was paused"
    hubbot("pause")
    now = datetime.now(UTC)
    outage = Outage(
        runner="mac",
        door="hub",
        stages=(Stage.FETCH,),
        since=now,
        next_probe=now,
        probes=1,
        error={"message": "down"},
    )
    with open_records(load()) as records:
        records.outages.put(outage)
    assert [one["door"] for one in hubbot("resume", "--json").json["ended"]] == ["pause"]
    with open_records(load()) as records:
        assert [one.door for one in records.outages.all()] == ["hub"]
