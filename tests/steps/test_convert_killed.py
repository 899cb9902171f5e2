"""`hubbot convert` killed with SIGKILL at random moments and started again: the files of an undisturbed run."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench import shapes
from tests.bench.synthetic import write

ROOT = Path(__file__).parents[2]
VARIANTS = ("bf16", "4bit", "moe-mxfp4")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    return folder


def start(source: Path, out: Path) -> subprocess.Popen[bytes]:
    flags = [flag for variant in VARIANTS for flag in ("--variant", variant)]
    command = [sys.executable, "-m", "hubbot", "convert", str(source), "--out", str(out), *flags, "--json"]
    # Files of 20 MB: there is something to keep after a kill.
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HUBBOT_SHARD_GIGABYTES": "0.02"}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()[-2000:]


def digests(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "report.json"
    }


@pytest.fixture(scope="module")
def undisturbed(source: Path) -> tuple[dict[str, str], float]:
    out = source.parent / "undisturbed"
    started = time.monotonic()
    finish(start(source, out))
    return digests(out), time.monotonic() - started


def kill_and_finish(source: Path, out: Path, *, moments: list[float]) -> bool:
    """Kill one run after another, then let the last one finish; say whether any was killed before its end."""
    killed = False
    for moment in moments:
        process = start(source, out)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            killed = True
        process.communicate()
        for path in out.glob("*"):
            # What stands at a final place is complete.
            assert path.name.startswith(".") or (path / "hubbot.json").is_file()
    finish(start(source, out))
    return killed


def check(source: Path, undisturbed: tuple[dict[str, str], float], out: Path, *, kills: int, seed: int) -> None:
    expected, seconds = undisturbed
    assert len([name for name in expected if name.endswith(".safetensors")]) > 10
    chance = random.Random(seed)
    moments = [chance.uniform(0.2, 1.0) * seconds for _ in range(kills)]
    assert kill_and_finish(source, out, moments=moments)
    assert digests(out) == expected
    shutil.rmtree(out)


def test_killed_twice_the_files_are_those_of_an_undisturbed_run(
    source: Path, undisturbed: tuple[dict[str, str], float], tmp_path: Path
) -> None:
    check(source, undisturbed, tmp_path / "out", kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
def test_killed_twenty_times_the_files_are_those_of_an_undisturbed_run(
    source: Path, undisturbed: tuple[dict[str, str], float], tmp_path: Path, seed: int
) -> None:
    check(source, undisturbed, tmp_path / "out", kills=4, seed=seed)
