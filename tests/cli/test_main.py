"""The command line's door: help for everything, errors as exit codes, data on stdout and talk on stderr."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from hubbot import __version__
from hubbot.cli import main as door
from hubbot.errors import HubbotError, kinds
from tests.cli.conftest import Shell
from tests.hub.embedded import Site

# Where torch is installed, transformers imports it by itself, and mlx-lm imports transformers.
TORCH = {"torch"} if importlib.util.find_spec("torch") is None else set()

ROOT = Path(door.__file__).parents[2]
COMMANDS = sorted(typer.main.get_command(door.app).commands)  # type: ignore[attr-defined]
PROMISED = {
    "inspect", "convert", "verify", "smoke", "watch", "enqueue", "run", "jobs", "show", "retry", "cancel",
    "published", "audit", "doctor", "demo", "devhub",
}  # fmt: skip
WITHOUT_JSON: set[str] = set()


def test_every_promised_command_is_there_and_in_the_help(hubbot: Shell) -> None:
    assert set(COMMANDS) >= PROMISED
    shown = hubbot("--help")
    assert shown.code == 0
    for command in COMMANDS:
        assert f" {command} " in shown.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(hubbot: Shell, command: str) -> None:
    shown = hubbot(command, "--help")
    assert shown.code == 0
    assert f"Example: hubbot {command}" in shown.out
    assert ("--json" in shown.out) == (command not in WITHOUT_JSON)
    assert hubbot(command, "-h").out == shown.out


def test_nothing_at_all_shows_the_help(hubbot: Shell) -> None:
    ended = hubbot()
    assert "Usage" in ended.out + ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("inspect",),
        ("inspect", "a", "b"),
        ("inspect", "--no-such-option", "a"),
        ("convert", "a"),
        ("show", "three"),
        ("enqueue", "a/b", "--priority", "high"),
        ("verify", "a"),
        ("devhub",),
    ],
)
def test_wrong_words_are_usage_errors(hubbot: Shell, arguments: tuple[str, ...]) -> None:
    ended = hubbot(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert "Error" in ended.err


def test_wrong_words_are_told_as_json_where_json_was_asked_for(hubbot: Shell) -> None:
    ended = hubbot("inspect", "--json")
    assert ended.code == 2
    assert set(ended.json["error"]) == {"kind", "state", "message", "where", "hint"}


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_every_error_has_its_exit_code_and_its_json(
    hubbot: Shell, monkeypatch: pytest.MonkeyPatch, kind: type[HubbotError]
) -> None:
    def fail(*_: object) -> None:
        raise kind("what happened", where="here [bold]", hint="do this")

    monkeypatch.setattr("hubbot.cli.arguments.open_source", fail)
    ended = hubbot("inspect", "fables/Fox", "--json")
    assert ended.code == kind.exit_code
    assert ended.json == {
        "error": {
            "kind": kind.__name__,
            "state": kind.state,
            "message": "what happened",
            "where": "here [bold]",
            "hint": "do this",
        }
    }
    plain = hubbot("inspect", "fables/Fox")
    assert (plain.code, plain.out) == (kind.exit_code, "")
    assert plain.err == f"{kind.__name__}: what happened (here [bold])\n  -> do this\n"


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # It leaves at once, without waiting for threads; a test must not.
    monkeypatch.setattr("hubbot.cli.main.os._exit", sys.exit)
    monkeypatch.setattr("hubbot.cli.arguments.open_source", interrupt)


@pytest.mark.usefixtures("interrupted")
def test_ctrl_c_is_no_error_of_hubbots(hubbot: Shell) -> None:
    ended = hubbot("inspect", "fables/Fox", "--json")
    assert (ended.code, ended.out) == (130, "")
    assert "Traceback" not in ended.err


@pytest.mark.usefixtures("interrupted")
def test_ctrl_c_says_that_nothing_is_lost(hubbot: Shell) -> None:
    assert "nothing is lost" in hubbot("inspect", "fables/Fox").err


def test_a_rate_limit_ends_with_5_and_a_missing_repo_with_3(hubbot: Shell, site: Site) -> None:
    site.faults.limit_rate("GET", "/api/models/fables/Fox", times=99, wait=250)
    limited = hubbot("inspect", "fables/Fox-8x-MoE-fused", "--json")
    assert (limited.code, limited.json["error"]["kind"], limited.json["error"]["state"]) == (
        5,
        "RateLimited",
        "waiting",
    )
    missing = hubbot("inspect", "fables/nothing", "--json")
    assert (missing.code, missing.json["error"]["kind"]) == (3, "RepoMissing")


def loaded_by(*arguments: str) -> set[str]:
    code = (
        "import sys\nfrom hubbot.cli.main import main\n"
        f"try: main({list(arguments)!r})\nexcept SystemExit: pass\n"
        "sys.stderr.write('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return set(done.stderr.split())


def test_help_imports_nothing_heavy() -> None:
    heavy = {
        "mlx",
        "mlx_lm",
        "huggingface_hub",
        "sqlalchemy",
        "sqlmodel",
        "numpy",
        "starlette",
        "apscheduler",
        "torch",
    }
    loaded = loaded_by("--help")
    assert "typer" in loaded
    assert not loaded & heavy


def test_a_folder_that_can_be_converted_is_planned_and_so_imports_mlx_but_never_torch_or_the_database(
    fox: Path,
) -> None:
    loaded = loaded_by("inspect", str(fox), "--json")
    assert "mlx_lm" in loaded
    assert not loaded & {"sqlalchemy", "starlette", *TORCH}


@pytest.mark.parametrize("model_type", ["nobodys_moe", "llama"])
def test_a_folder_that_is_refused_by_its_headers_is_inspected_without_anything_heavy(
    model_type: str, fox: Path
) -> None:
    config = json.loads((fox / "config.json").read_text()) | {"model_type": model_type}
    (fox / "config.json").write_text(json.dumps(config))
    heavy = {"huggingface_hub", "sqlalchemy", "starlette", "mlx", "mlx_lm", "transformers", "torch", "numpy"}
    assert not loaded_by("inspect", str(fox), "--json") & heavy


def test_a_conversion_of_a_folder_imports_mlx_and_never_torch_or_the_database(fox: Path, tmp_path: Path) -> None:
    loaded = loaded_by("convert", str(fox), "--out", str(tmp_path / "out"), "--variant", "bf16", "--json")
    assert "mlx" in loaded
    assert not loaded & {"sqlalchemy", "starlette", *TORCH}


def test_it_runs_as_a_module_and_reports_through_its_exit_code(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HUBBOT_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "hubbot", "show", "7", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["message"] == "there is no job 7"
    assert "Traceback" not in done.stderr


def test_the_readme_names_every_command() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    named = {info.name for info in door.app.registered_commands}
    assert {name for name in named if f"`hubbot {name}" not in readme and f"`{name} " not in readme} == set()


def test_a_missing_option_is_named_in_the_json_too(hubbot: Shell) -> None:
    assert "--out" in hubbot("convert", "somewhere", "--json").json["error"]["message"]


def test_the_version_is_the_packages(hubbot: Shell) -> None:
    assert hubbot("--version").out.strip() == f"hubbot {__version__}"


def test_the_bots_own_process_loads_no_runtime_and_no_arrays() -> None:
    program = "import sys, hubbot.jobs.bot; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert not {"mlx", "mlx_lm", "numpy", "numba", "torch", "transformers", "matplotlib"} & loaded


def test_opening_the_database_loads_neither_the_hubs_client_nor_the_pipeline() -> None:
    program = "import sys, hubbot.jobs.open_records; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", program], text=True).split())
    assert not {"huggingface_hub", "hubbot.jobs.pipeline", "hubbot.jobs.bot"} & loaded


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no file here that is always full")
def test_an_output_that_finds_no_room_is_told_in_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HUBBOT_DATA_DIR": str(tmp_path)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hubbot", "layouts"], env=environment, stdout=full, stderr=subprocess.PIPE,
            text=True, check=False,
        )  # fmt: skip
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
