"""What happened to a job, in the order in which it happened: from its attempts and what its stages stored."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from hubbot.lifecycle import Job
from hubbot.store.records import Attempt, Result

Entry = tuple[datetime, str]


def entries(job: Job, attempts: Sequence[Attempt], results: Sequence[Result]) -> list[dict[str, str]]:
    """Return `at` (ISO) and `text` of every event, the first one first."""
    events: list[Entry] = [(job.created_at, f"asked for by {job.requested_by}: {', '.join(job.variants)}")]
    for attempt in attempts:
        events += _of_attempt(attempt)
    events += [(result.stored_at, text) for result in results for text in _of_result(result)]
    # At the same moment a stage begins before it stores anything, and stores it before it ends.
    events.sort(key=lambda event: event[0])
    return [{"at": at.isoformat(), "text": text} for at, text in events]


def _of_attempt(attempt: Attempt) -> Iterator[Entry]:
    yield attempt.started_at, f"{attempt.stage} begins on {attempt.runner}"
    if attempt.ended_at is None:
        return
    error = attempt.error or {}
    why = f": {error['message']}" if error.get("message") else ""
    where = f" ({error['where']})" if error.get("where") else ""
    yield attempt.ended_at, f"{attempt.stage} ends: {attempt.outcome}{why}{where}"
    if error.get("hint"):
        yield attempt.ended_at, f"what to do: {error['hint']}"


def _of_result(result: Result) -> Iterator[str]:
    data = result.data
    match result.kind:
        case "checkpoint":
            size = f"{data.get('tensors')} tensors in {data.get('shards')} files"
            yield f"the source is {data.get('model_type')}: {size}"
        case "layout":
            yield f"its experts are stored as {data.get('row')}"
        case "artifact":
            yield f"{result.variant} is made: {data.get('bits_per_weight', 0):.2f} bits per weight"
        case "report":
            yield f"{result.variant} is {data.get('verdict')}: {_gates(data.get('gates') or {})}"
        case "smoke":
            yield f"{result.variant} spoke: {len(data.get('samples') or ())} answers"
        case "owed" if data:
            refused = " and ".join(data.get("refused") or ())
            yield f"{data.get('repo')} is published without its {refused}, which is tried again later"
        case _:
            return


def _gates(gates: Mapping[str, Any]) -> str:
    return ", ".join(f"{gate} {status}" for gate, status in gates.items())
