from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi

from hubbot.devhub.accounts import Account
from hubbot.devhub.server import EmbeddedHub

ACCOUNTS = {"hf_owner": Account("hubbot")}

CHILD = """
import pathlib, sys, time
from hubbot.devhub.accounts import Account
from hubbot.devhub.server import EmbeddedHub
with EmbeddedHub(pathlib.Path(sys.argv[1]), accounts={"hf_owner": Account("hubbot")}) as hub:
    print(hub.url, flush=True)
    time.sleep(60)
"""


def test_it_listens_on_loopback_only_and_stops_with_its_block(tmp_path: Path) -> None:
    with EmbeddedHub(tmp_path, accounts={}) as hub:
        assert hub.url.startswith("http://127.0.0.1:")
        assert httpx.get(hub.url, trust_env=False).status_code == 200
    port = int(hub.url.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_it_stops_although_a_client_keeps_its_connection(tmp_path: Path) -> None:
    with httpx.Client(trust_env=False) as client, EmbeddedHub(tmp_path, accounts={}) as hub:
        assert client.get(hub.url).status_code == 200


def test_what_was_published_is_there_after_a_restart_on_the_same_port(tmp_path: Path, model: Path) -> None:
    with EmbeddedHub(tmp_path / "hub", accounts=ACCOUNTS) as hub:
        sha = hub.seed("hubbot/a", model)
        HfApi(endpoint=hub.url, token="hf_owner").create_tag("hubbot/a", tag="v1")
    port = int(hub.url.rpartition(":")[2])
    with EmbeddedHub(tmp_path / "hub", accounts=ACCOUNTS, port=port) as again:
        assert again.url == hub.url
        assert HfApi(endpoint=again.url, token="hf_owner").model_info("hubbot/a", revision="v1").sha == sha


def test_a_commit_outlives_kill_9(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        api = HfApi(endpoint=child.stdout.readline().strip(), token="hf_owner")
        api.create_repo("hubbot/a")
        done = api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="hubbot/a")
        os.kill(child.pid, signal.SIGKILL)
    with EmbeddedHub(tmp_path, accounts=ACCOUNTS) as hub:
        again = HfApi(endpoint=hub.url, token="hf_owner")
        assert again.model_info("hubbot/a").sha == done.oid
        assert again.file_exists("hubbot/a", "config.json")


def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with EmbeddedHub(tmp_path, accounts={}) as hub, pytest.raises(OSError, match="in use"):
        EmbeddedHub(tmp_path, accounts={}, port=int(hub.url.rpartition(":")[2])).__enter__()
