"""Every block of a demo card runs as it is printed, by somebody who has nothing of hubbot's."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from hubbot.demo import HUB_FOLDER, ORG, accounts
from hubbot.devhub.server import EmbeddedHub
from hubbot.hub.client import Hub
from hubbot.hub.retries import Patience
from tests.story.demos import Demo, shared

# Whichever test comes first waits for the whole demo.
pytestmark = pytest.mark.timeout(600)
SECONDS = 200


@pytest.fixture(scope="session")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return shared(tmp_path_factory)


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody with mlx-lm who reads a card and types what it says."""

    home: Path
    environment: dict[str, str]
    blocks: list[tuple[str, str]]

    def shell(self, containing: str) -> str:
        """The one shell block that contains a word; what it installs is here already."""
        (found,) = [text for language, text in self.blocks if language == "bash" and containing in text]
        return "\n".join(line for line in found.splitlines() if not line.startswith("pip install"))

    def python(self) -> str:
        (found,) = [text for language, text in self.blocks if language == "python"]
        return found

    def run(self, *command: str, given: str = "") -> str:
        done = subprocess.run(
            command, env=self.environment, cwd=self.home, input=given, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def reading(demo: Demo, name: str, home: Path) -> Iterator[Reader]:
    with EmbeddedHub(demo.folder / HUB_FOLDER, accounts=accounts()) as hub:
        card = Hub(endpoint=hub.url, patience=Patience()).read_file(f"{ORG}/{name}", "README.md", 1 << 20)
        assert card is not None
        blocks = re.findall(r"^```(bash|python)\n(.*?)^```$", card.decode(), re.MULTILINE | re.DOTALL)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUBBOT_"))}
        kept |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        kept.pop("PYTHONPATH", None)
        yield Reader(home, kept, blocks)


def is_text(said: str) -> bool:
    return len(re.findall(r"\b[a-z]{2,}\b", said)) > 10


@pytest.mark.parametrize("variant", ["bf16", "8bit", "4bit"])
def test_the_python_lines_run(ended: Demo, tmp_path: Path, variant: str) -> None:
    with reading(ended, f"Fox-8x-MoE-fused-MLX-{variant}", tmp_path) as reader:
        assert is_text(reader.run(sys.executable, "-c", reader.python()))


def test_generate_chat_and_server_run(ended: Demo, tmp_path: Path) -> None:
    with reading(ended, "Owl-8x-Mixtral-MLX-4bit", tmp_path) as reader:
        assert is_text(reader.run("bash", "-ec", reader.shell("mlx_lm.generate")))
        assert is_text(reader.run("bash", "-ec", reader.shell("mlx_lm.chat"), given="Tell me a story.\nq\n"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # The printed port may be taken on the machine that runs the tests.
        command = reader.shell("mlx_lm.server").replace("--port 8080", f"--port {port}")
        assert answered(reader, command, port)


def answered(reader: Reader, command: str, port: int) -> str:
    """Return what the server says to one request, and end it."""
    request = {"messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 24}
    with subprocess.Popen(
        ["bash", "-ec", f"exec {command}"], env=reader.environment, cwd=reader.home, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        try:
            return _ask(f"http://127.0.0.1:{port}/v1/chat/completions", request, server)
        finally:
            server.send_signal(signal.SIGTERM)


def _ask(url: str, request: dict[str, Any], server: "subprocess.Popen[bytes]") -> str:
    asked = urllib.request.Request(url, json.dumps(request).encode(), headers={"Content-Type": "application/json"})
    deadline = time.monotonic() + SECONDS
    while True:
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server never answered"
        try:
            with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
                return str(json.loads(answer.read())["choices"][0]["message"]["content"])
        except ConnectionError:
            time.sleep(0.3)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError):
                raise
            time.sleep(0.3)


def test_the_shell_lines_of_an_unquantized_variant_say_that_they_need_a_gpu(ended: Demo, tmp_path: Path) -> None:
    with reading(ended, "Fox-8x-MoE-fused-MLX-bf16", tmp_path) as reader:
        if mx.metal.is_available():
            assert is_text(reader.run("bash", "-ec", reader.shell("mlx_lm.generate")))
        assert "mx.metal.is_available" in reader.python()


def test_the_demo_shows_its_dashboard_beside_the_hub(ended: Demo, tmp_path: Path) -> None:
    from tests.story.demos import command, environment  # noqa: PLC0415

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    asked = [*command(ended.folder), "--serve", "--port", str(port)]
    seen = ""
    with subprocess.Popen(
        asked, env=environment(ended.folder, "x"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + SECONDS
        while "Fox-8x-MoE-fused" not in seen:
            assert process.poll() is None
            assert time.monotonic() < deadline
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/published", timeout=10) as page:
                    seen = page.read().decode()
            except OSError:
                time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert "fables/Owl-8x-Mixtral" in seen
