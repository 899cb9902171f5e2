"""A smoke test of one artifact by several hosts together; the script that mlx.launch starts on each of them.

python smoke_over_hosts.py FOLDER MAX_TOKENS ANSWER_FILE
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubbot import plain_json
from hubbot.errors import HubbotError, SmokeFailed, from_json
from hubbot.runtime import several_hosts
from hubbot.steps.smoke import smoke

OTHER = "host number"


def smoke_over_hosts(folder: Path, *, max_tokens: int, hosts: Sequence[str], seconds: float) -> dict[str, Any]:
    """Return the record of the smoke test, as plain data; `hosts` are addresses, this machine's first.

    Raises what `smoke` raises on the hosts, SmokeFailed where a process fails, TookTooLong after `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="hubbot-smoke-") as held:
        answer = Path(held) / "answer.json"
        failed = None
        try:
            several_hosts.launched(Path(__file__), (str(folder), str(max_tokens), str(answer)), hosts, seconds)
        except SmokeFailed as error:
            failed = error
        told = plain_json.loads(answer.read_bytes()) if answer.is_file() else {}
    # The first host loses its peers when another fails: then what the other said is the cause.
    if failed is not None and ("error" not in told or OTHER in str(failed)):
        raise failed
    if "error" in told:
        raise from_json(told["error"])
    if "record" not in told:
        raise SmokeFailed(f"the first of the hosts {', '.join(hosts)} wrote no answer", where=str(folder))
    return {**told["record"], "device": {**told["record"]["device"], "hosts": ", ".join(hosts)}}


def main(folder: str, max_tokens: str, answer: str) -> None:
    """Smoke-test the artifact in `folder` together with the other hosts; the first one writes what was said."""
    several_hosts.end_with(Path(answer).parent)
    group = several_hosts.join()
    try:
        told = {"record": smoke(Path(folder), max_tokens=int(max_tokens), group=group).to_json()}
    except HubbotError as error:
        told = {"error": error.to_json()}
        if group.rank() > 0:
            # mlx.launch ends the others where one ends badly; else they wait for this one.
            sys.exit(f"{OTHER} {group.rank() + 1}: {error}")
    if group.rank() == 0:
        Path(answer).write_text(json.dumps(told), encoding="utf-8")
    if "error" in told:
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
