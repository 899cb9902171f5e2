"""`hubbot run` whose clock a soak can set: this machine's time, and as many seconds as the file says.

python -m tests.soak.bot_process JUMP_FILE
"""

import sys
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

from hubbot.jobs import open_records, pauses, retry


def main(jump: str) -> None:
    file = Path(jump)

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(seconds=float(file.read_text(encoding="ascii") or 0))

    assert open_records.utc_now().tzinfo is UTC
    # As the real ones, only sooner: a soak's outages last seconds.
    pauses.FIRST_SECONDS, pauses.LONGEST_SECONDS = 3.0, 30.0
    retry.FIRST_PAUSE_SECONDS, retry.LONGEST_PAUSE_SECONDS = 3.0, 60.0
    # All of the queue's, the outages' and the attempts' times come from its `utc_now`.
    vars(open_records)["datetime"] = Jumping
    from hubbot.cli.main import main as command  # noqa: PLC0415 - after the clock is in its place

    sys.argv = ["hubbot", "run"]
    command()


if __name__ == "__main__":
    main(sys.argv[1])
