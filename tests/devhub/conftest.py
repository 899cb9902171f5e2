from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils.tqdm import disable_progress_bars

from hubbot.devhub.accounts import Account
from hubbot.devhub.faults import Faults
from hubbot.devhub.server import EmbeddedHub

ACCOUNTS = {"hf_owner": Account("hubbot", ("mlx-moe",)), "hf_stranger": Account("somebody")}
_NUMBERS = count(1)


@pytest.fixture(autouse=True)
def _no_progress_bars() -> None:
    disable_progress_bars()


@pytest.fixture(scope="session")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, faults: Faults) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path_factory.mktemp("hub"), accounts=ACCOUNTS, faults=faults) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_fault_outlives_its_test(faults: Faults) -> Iterator[None]:
    yield
    faults.clear()


@pytest.fixture
def owner(hub: EmbeddedHub) -> HfApi:
    return HfApi(endpoint=hub.url, token="hf_owner")


@pytest.fixture
def stranger(hub: EmbeddedHub) -> HfApi:
    return HfApi(endpoint=hub.url, token="hf_stranger")


@pytest.fixture
def anonymous(hub: EmbeddedHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=False)


@pytest.fixture
def http(hub: EmbeddedHub) -> Iterator[httpx.Client]:
    headers = {"authorization": "Bearer hf_owner"}
    with httpx.Client(base_url=hub.url, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture
def browser(hub: EmbeddedHub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hub.url, trust_env=False) as client:
        yield client


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with what a small model has: a card, a config, weights, a file in a folder."""
    folder = tmp_path / "model"
    (folder / "notes").mkdir(parents=True)
    card = "---\nlicense: apache-2.0\nlibrary_name: mlx\npipeline_tag: text-generation\ntags:\n- moe\n"
    card += "base_model: Qwen/Qwen3-30B-A3B\nbase_model_relation: quantized\n---\n# A model\n"
    (folder / "README.md").write_text(card)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3_moe", "num_experts": 8}))
    (folder / "notes" / "a b.txt").write_text("a note")
    header = json.dumps({"w": {"dtype": "F32", "shape": [4, 64], "data_offsets": [0, 1024]}}).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(range(256)) * 4
    (folder / "model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def repo(owner: HfApi) -> str:
    """A fresh, empty repo."""
    repo_id = f"hubbot/fresh-{next(_NUMBERS)}"
    owner.create_repo(repo_id)
    return repo_id


@pytest.fixture
def seeded(hub: EmbeddedHub, model: Path) -> str:
    """A fresh repo that holds the model."""
    repo_id = f"hubbot/seeded-{next(_NUMBERS)}"
    hub.seed(repo_id, model)
    return repo_id
