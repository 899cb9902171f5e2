"""devhub: a Hub on this machine until it is told to stop."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from huggingface_hub import HfApi

from hubbot import demo
from tests.cli.conftest import Shell
from tests.hub.embedded import Site

ROOT = Path(demo.__file__).parents[1]


def read_document(lines: object) -> str:
    text = ""
    assert hasattr(lines, "readline")
    while not text.endswith("}\n") or text.count("{") != text.count("}"):
        line = lines.readline()
        assert line, text
        text += line
    return text


def test_it_serves_what_its_environment_says_and_ends_with_a_signal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hubbot", "devhub", "--dir", str(tmp_path / "hub"), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = json.loads(read_document(process.stdout))
        api = HfApi(endpoint=told["environment"]["HF_ENDPOINT"], token=told["environment"]["HF_TOKEN"])
        assert api.whoami()["name"] == demo.USER
        assert told["url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_port_that_is_taken_is_wrong_usage(hubbot: Shell, site: Site, tmp_path: Path) -> None:
    port = site.url.rpartition(":")[2]
    ended = hubbot("devhub", "--dir", str(tmp_path / "hub"), "--port", port, "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "WrongUsage")
    assert "choose another --port" in ended.json["error"]["hint"]
