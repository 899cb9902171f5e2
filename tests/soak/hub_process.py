"""The embedded Hub in a process of its own, which a soak kills, stops and misleads.

python -m tests.soak.hub_process FOLDER PORT

Each line on stdin is a fault: {"kind": "limit", "times": 5}. Whatever is not over ends with {"kind": "well"}.
"""

import json
import sys
from pathlib import Path

from hubbot.devhub.accounts import Account
from hubbot.devhub.faults import Faults
from hubbot.devhub.server import EmbeddedHub

ORG = "mlx-moe"
TOKEN = "hf_OwnerOwnerOwner"
ACCOUNTS = {TOKEN: Account("keeper", (ORG,))}
WEIGHTS = r"/resolve/|/v1/|^/xet|^/lfs"
ANY_TIMES = 1 << 30


def main(folder: str, port: str) -> None:
    faults = Faults()
    with EmbeddedHub(Path(folder), accounts=ACCOUNTS, port=int(port), faults=faults) as hub:
        print("up", flush=True)  # noqa: T201  the soak waits for it
        for line in sys.stdin:
            fault = json.loads(line)
            match fault["kind"]:
                case "limit":
                    faults.limit_rate("*", "", times=fault["times"])
                case "cut":
                    faults.cut("GET", WEIGHTS, after=fault["after"], times=fault["times"])
                case "spoil":
                    faults.spoil("GET", WEIGHTS, times=fault["times"])
                case "down":
                    faults.fail("*", "", times=fault["times"])
                case "revoke":
                    hub._hub.accounts.clear()
                case "well":
                    hub._hub.accounts.update(ACCOUNTS)
                    faults.clear()
                case "seed":
                    hub.seed(fault["repo"], Path(fault["folder"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
