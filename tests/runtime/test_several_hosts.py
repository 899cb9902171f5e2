"""A model over two processes says what it says in one; what goes wrong on a host is told, and nothing is left."""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from hubbot.conversion import child_stages
from hubbot.conversion.smoke_over_hosts import smoke_over_hosts
from hubbot.errors import SmokeFailed, TookTooLong, WrongUsage
from hubbot.runtime import several_hosts
from hubbot.settings import Settings
from hubbot.steps import smoke
from tests.checkpoints_on_disk import converted, look

SPEAKERS = Path(smoke.__file__).parents[1] / "devhub" / "demo_models"
HERE = ("127.0.0.1", "127.0.0.1")


@pytest.fixture(autouse=True)
def this_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that mlx.launch starts run this checkout."""
    monkeypatch.setenv("PYTHONPATH", str(Path(smoke.__file__).parents[2]))


def artifact(name: str, folder: Path) -> Path:
    return converted(look(SPEAKERS / name), folder, "bf16")["bf16"]


def test_two_processes_say_what_one_does(tmp_path: Path) -> None:
    folder = artifact("fox", tmp_path / "x")
    alone = smoke.smoke(folder, max_tokens=12).to_json()
    asked = {"folder": str(folder), "max_tokens": 12, "hosts": HERE, "memory_bytes": 1, "seconds": 100.0}
    together = child_stages.smoke(asked, lambda *_: None)
    texts = [[sample["text"] for sample in record["samples"]] for record in (alone, together)]
    assert texts[0] == texts[1]
    assert together["device"]["hosts"] == "127.0.0.1, 127.0.0.1"
    # One machine is enough for what fits it.
    assert "hosts" not in child_stages.smoke({**asked, "memory_bytes": 1 << 40}, lambda *_: None)["device"]


def test_a_class_that_cannot_be_divided_is_told(tmp_path: Path) -> None:
    folder = artifact("owl", tmp_path / "x")
    with pytest.raises(SmokeFailed, match="mixtral class cannot be divided over hosts"):
        smoke_over_hosts(folder, max_tokens=4, hosts=HERE, seconds=100)


def test_a_process_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "dies.py"
    script.write_text("import sys; sys.exit('no such disk')")
    with pytest.raises(SmokeFailed, match=r"127\.0\.0\.1.*no such disk"):
        several_hosts.launched(script, (), HERE, 60)


def test_hosts_that_hang_are_left_in_time_and_nothing_goes_on(tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    script = tmp_path / "hangs.py"
    script.write_text(
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from hubbot.runtime import several_hosts\n"
        "several_hosts.end_with(Path(sys.argv[1]))\n"
        "(Path(sys.argv[2]) / str(os.getpid())).touch()\n"
        "time.sleep(600)\n"
    )
    pids = tmp_path / "pids"
    pids.mkdir()
    begun = time.monotonic()
    with pytest.raises(TookTooLong, match=r"127\.0\.0\.1"):
        several_hosts.launched(script, (str(held), str(pids)), HERE, 8)
    shutil.rmtree(held)
    assert time.monotonic() - begun < 25
    numbers = [int(path.name) for path in pids.iterdir()]
    assert len(numbers) == 2
    until = time.monotonic() + 10
    while any(alive(number) for number in numbers):
        assert time.monotonic() < until
        time.sleep(0.1)


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{number}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 and 127.0.0.3 are not this machine's")
def test_the_first_host_starts_without_ssh_and_the_others_reach_it_by_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, body in {"ssh": f'echo "$4" >>{tmp_path}/asked\nexec bash -c "${{@: -1}}"', "stty": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script = tmp_path / "joins.py"
    script.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from hubbot.runtime import several_hosts\n"
        "group = several_hosts.join()\n"
        "met = Path(os.environ['MLX_HOSTFILE']).read_text()\n"
        "(Path(sys.argv[1]) / f'rank{group.rank()}').write_text(met)\n"
    )
    several_hosts.launched(script, (str(tmp_path),), ("127.0.0.2", "127.0.0.3"), 60)
    assert (tmp_path / "asked").read_text().split() == ["127.0.0.3"]
    for rank in (0, 1):
        met = (tmp_path / f"rank{rank}").read_text()
        assert "127.0.0.2:" in met
        assert "127.0.0.3:" in met


def test_what_another_host_lacks_is_told_as_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "smoke.py"
    script.write_text(
        "import os, sys\n"
        "from hubbot.conversion import smoke_over_hosts\n"
        "folder = sys.argv[1] if os.environ['MLX_RANK'] == '0' else sys.argv[1] + '-gone'\n"
        "smoke_over_hosts.main(folder, *sys.argv[2:])\n"
    )
    folder = artifact("fox", tmp_path / "x")
    monkeypatch.setattr("hubbot.conversion.smoke_over_hosts.__file__", str(script))
    with pytest.raises(SmokeFailed, match=r"host number 2: .*cannot load"):
        smoke_over_hosts(folder, max_tokens=4, hosts=HERE, seconds=100)


@pytest.mark.parametrize(
    "hosts",
    [("-oProxyCommand=x", "10.0.0.2"), ("mac;rm", "10.0.0.2"), ("127.0.0.1",), ("127.0.0.1", "10.0.0.2")],
)
def test_what_is_no_address_is_refused_by_name(hosts: tuple[str, ...]) -> None:
    with pytest.raises((ValueError, WrongUsage), match="smoke_hosts"):
        Settings(smoke_hosts=hosts)
