"""The lanes of one runner: one brings jobs up to their download, one converts and judges, one publishes.

So downloads and uploads go on beside the one stage at a time that the machine computes. It knows no stage's work.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from hubbot.jobs.worker import Worker
from hubbot.lifecycle import Stage

logger = logging.getLogger(__name__)
LANES: Mapping[str, frozenset[Stage]] = MappingProxyType(
    {
        "bring": frozenset({Stage.INSPECT, Stage.CLASSIFY, Stage.PLAN, Stage.FETCH}),
        "compute": frozenset({Stage.CONVERT, Stage.VERIFY, Stage.SMOKE, Stage.CARD}),
        "publish": frozenset({Stage.PUBLISH}),
    }
)
OWN_THREAD = "compute"


def run_lanes(worker: Worker, stop: threading.Event) -> None:
    """Work in all lanes until `stop` is set; a lane that fails stops the others, and its error is raised."""
    failed: list[BaseException] = []

    def run(lane: Worker) -> None:
        try:
            lane.run_forever(stop)
        except BaseException as error:  # noqa: BLE001  the thread's end must not be the error's
            failed.append(error)
            stop.set()

    lanes = {
        name: replace(worker, stages=stages, when_idle=worker.when_idle if name == OWN_THREAD else None)
        for name, stages in LANES.items()
    }
    threads = [
        threading.Thread(target=run, args=(lane,), name=f"lane {name}", daemon=True)
        for name, lane in lanes.items()
        if name != OWN_THREAD
    ]
    for thread in threads:
        thread.start()
    try:
        # Here, where a second Ctrl-C is raised.
        lanes[OWN_THREAD].run_forever(stop)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
