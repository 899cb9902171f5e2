"""Loops are compiled once by another process, and run without numba."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hubbot.native import machine_code
from hubbot.native.machine_code import Loops, load

TOTAL = Loops(name="test", functions={"tests.native.loops.total": "p i"})
ALLOCATED = Loops(name="test", functions={"tests.native.loops.allocated": "i"})
NUMBERS = np.arange(1000, dtype=np.int64)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one object file, compiled by a process of its own."""
    pytest.importorskip("numba", reason="numba is not installed")
    folder = tmp_path_factory.mktemp("code")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine_code, "folders", lambda: iter([folder]))
        # The process that compiles knows only the folders of the package.
        patch.setattr(machine_code, "_build", _build_here)
        assert load(TOTAL)["total"](NUMBERS.ctypes.data, len(NUMBERS)) == NUMBERS.sum()
    return folder


def _build_here(loops: Loops, name: str) -> None:
    from hubbot.native import builder  # noqa: PLC0415 - imports numba

    machine_code.keep(name, builder.compiled(loops.functions))


def test_what_is_compiled_is_found_again(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_code, "folders", lambda: iter([made / "absent", made]))
    monkeypatch.setattr(machine_code, "_build", lambda *_: pytest.fail("compiled again"))
    assert load(TOTAL)["total"](NUMBERS.ctypes.data, 10) == 45


def test_a_torn_file_is_not_run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = made.iterdir()
    (tmp_path / whole.name).write_bytes(whole.read_bytes()[:-1])
    monkeypatch.setattr(machine_code, "folders", lambda: iter([tmp_path]))
    assert machine_code.found(whole.name) is None
    monkeypatch.setattr(machine_code, "folders", lambda: iter([tmp_path, made]))
    assert machine_code.found(whole.name) is not None


def test_functions_that_need_numba_are_refused_as_files_and_compiled_in_the_process() -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    from hubbot.native import builder  # noqa: PLC0415 - imports numba

    with pytest.raises(RuntimeError, match="allocated would call"):
        builder.compiled(ALLOCATED.functions)


def test_where_no_file_can_be_kept_numba_compiles_in_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    monkeypatch.setattr(machine_code, "folders", lambda: iter([Path("/proc/none")]))
    monkeypatch.setattr(machine_code, "_build", lambda *_: None)
    assert load(ALLOCATED)["allocated"](7) == 7


@pytest.mark.parametrize("change", ["cpu", "features", "kinds"])
def test_another_processor_or_other_arguments_have_a_file_of_their_own(change: str) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    usual = machine_code.file_name(TOTAL, "one", "+sse2")
    cpu, features = ("other" if change == "cpu" else "one"), ("+avx" if change == "features" else "+sse2")
    loops = Loops(name="test", functions={"tests.native.loops.total": "p p"}) if change == "kinds" else TOTAL
    assert machine_code.file_name(loops, cpu, features) != usual
    assert machine_code.file_name(TOTAL, "one", "+sse2") == usual


def test_the_quantizer_runs_without_numba_in_its_process() -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    code = (
        "import sys; from hubbot.engine.formats import kernels; print(kernels.checked('BF16').reason, "
        "'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False"]
