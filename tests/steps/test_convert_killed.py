"""`hubbot convert` killed with SIGKILL at random moments and started again: the files of an undisturbed run."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import shapes
from tests.bench.synthetic import write

ROOT = Path(__file__).parents[2]
VARIANTS = ("bf16", "4bit", "moe-mxfp4")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two layers of an eighth of the bench's experts: 190 MB in one shard."""
    folder = tmp_path_factory.mktemp("killed") / "source"
    config = shapes.qwen_config(2) | {"num_experts": 16, "vocab_size": 4096}

    def small(tensor: shapes.Tensor) -> bool:
        return ".experts." not in tensor[0] or int(tensor[0].split(".")[5]) < 16

    tensors = [t for t in shapes.qwen_tensors(2) if small(t)]
    cut = {"model.embed_tokens.weight": 4096}
    shrunk = [
        (name, (cut.get(name, 16 if name.endswith("mlp.gate.weight") else shape[0]), *shape[1:]), dtype)
        for name, shape, dtype in tensors
    ]
    write(folder, config, shrunk)
    yield folder
    shutil.rmtree(folder.parent)


def start(source: Path, out: Path) -> subprocess.Popen[bytes]:
    flags = [flag for variant in VARIANTS for flag in ("--variant", variant)]
    command = [sys.executable, "-m", "hubbot", "convert", str(source), "--out", str(out), *flags, "--json"]
    # Files of 20 MB: there is something to keep after a kill.
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HUBBOT_SHARD_GIGABYTES": "0.02"}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()[-2000:]


def timeless(path: Path) -> bytes:
    """What stands in a file; of a card without the line of what it took."""
    content = path.read_bytes()
    if path.name != "README.md":
        return content
    lines = content.splitlines(keepends=True)
    kept = [line for line in lines if b"What it took" not in line]
    assert len(kept) == len(lines) - 1
    return b"".join(kept)


def digests(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(timeless(path)).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "report.json"
    }


def on_disk(out: Path) -> int:
    """The bytes that lie below `out` by now; files have their final size from the beginning, and holes."""
    try:
        return sum(path.stat().st_blocks * 512 for path in out.rglob("*.safetensors"))
    except FileNotFoundError:  # renamed while we looked
        return 0


@pytest.fixture(scope="module")
def undisturbed(source: Path) -> tuple[dict[str, str], int]:
    out = source.parent / "undisturbed"
    finish(start(source, out))
    found = digests(out), on_disk(out)
    shutil.rmtree(out)
    return found


def killed(process: subprocess.Popen[bytes], out: Path, *, at: int) -> bool:
    """Kill a run when `at` bytes lie below `out`; say whether it was killed before its end."""
    while process.poll() is None and on_disk(out) < at:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def check(source: Path, undisturbed: tuple[dict[str, str], int], out: Path, *, kills: int, seed: int) -> None:
    """Kill one run after another, each at a random part of what is still to write; the last one may finish."""
    expected, total = undisturbed
    assert len([name for name in expected if name.endswith(".safetensors")]) > 10
    chance = random.Random(seed)
    for _ in range(kills):
        kept = on_disk(out)
        process = start(source, out)
        # What is torn is written anew: progress is counted from what this run finds when it begins to write.
        assert killed(process, out, at=kept + int(chance.uniform(0.0, 0.9) * (total - kept)))
        for path in out.glob("*"):
            # What stands at a final place is complete.
            assert path.name.startswith(".") or (path / "hubbot.json").is_file()
    finish(start(source, out))
    assert digests(out) == expected
    shutil.rmtree(out)


def test_killed_twice_the_files_are_those_of_an_undisturbed_run(
    source: Path, undisturbed: tuple[dict[str, str], int], tmp_path: Path
) -> None:
    check(source, undisturbed, tmp_path / "out", kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
def test_killed_twenty_times_the_files_are_those_of_an_undisturbed_run(
    source: Path, undisturbed: tuple[dict[str, str], int], tmp_path: Path, seed: int
) -> None:
    check(source, undisturbed, tmp_path / "out", kills=4, seed=seed)
