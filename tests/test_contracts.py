"""Import contracts hold by folder: a planted import of each forbidden kind is broken, wherever it is planted."""

import shutil
import subprocess
import sys
from pathlib import Path

import hubbot

PACKAGE = Path(hubbot.__file__).parent
ROOT = PACKAGE.parent


def modules(folder: str) -> list[str]:
    """The dotted names of the modules in a room, those of its rooms included."""
    paths = sorted((PACKAGE / folder).rglob("*.py"))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if path.name != "__init__.py"]


def plants() -> list[tuple[str, str]]:
    """(module, what it is made to import): engine into the referee, and past every door."""
    engine = modules("engine")
    referee = modules("checks")
    # Each engine module into one module of the referee, and an engine module into each of the referee's.
    planted = [(referee[number % len(referee)], name) for number, name in enumerate(engine)]
    planted += [(name, engine[number % len(engine)]) for number, name in enumerate(referee)]
    rooms = ("catalogue", "checks", "conversion", "hub", "jobs", "steps", "store")
    planted += [(name, "mlx.core") for room in rooms for name in modules(room)]
    planted += [(name, "hubbot.jobs.retry") for name in modules("store")]
    inside = ("hubbot.checks.parity.",)
    planted += [(name, "torch") for room in rooms for name in modules(room) if not name.startswith(inside)]
    return planted


def test_every_planted_import_breaks_a_contract(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "hubbot", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = plants()
    for number, (module, target) in enumerate(planted):
        path = tmp_path / Path(*module.split(".")).with_suffix(".py")
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\nimport {target} as planted_{number}\n")
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    environment = {"PYTHONPATH": str(tmp_path), "PATH": "", "COLUMNS": "500"}
    ended = subprocess.run(
        [sys.executable, "-c", lint, "--no-cache"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1, ended.stdout + ended.stderr
    told = ended.stdout
    missed = [
        (module, target) for module, target in planted if f"{module} -> {target.removesuffix('.core')}" not in told
    ]
    assert missed == []
