"""What the demo published, as its users get it: stock mlx-lm, the real client, nothing of hubbot's."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hubbot.demo import HUB_FOLDER, ORG, accounts
from hubbot.devhub.server import EmbeddedHub
from tests.story.demos import Demo, shared

# Whichever test comes first waits for the whole demo.
pytestmark = pytest.mark.timeout(600)
# Every layout in one variant, every variant of one layout.
SHORT = (
    "Fox-8x-MoE-fused-MLX-bf16",
    "Fox-8x-MoE-fused-MLX-8bit",
    "Fox-8x-MoE-fused-MLX-4bit",
    "Fox-8x-MoE-per-expert-MLX-4bit",
    "Fox-8x-MoE-sharded-MLX-8bit",
    "Owl-8x-Mixtral-MLX-4bit",
)
USER = """
import json, sys
import mlx.core as mx
from mlx_lm import generate, load

mx.set_default_device(mx.cpu)
said = {}
for repo in sys.argv[1:]:
    model, tokenizer = load(repo)
    if not hasattr(model.args, "quantization") and "bf16" in repo:
        model.set_dtype(mx.float32)  # a CPU's gather_mm computes in float32 only
    messages = [{"role": "user", "content": "Tell me a story about a fox."}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    said[repo] = generate(model, tokenizer, prompt=prompt, max_tokens=32)
assert "hubbot" not in sys.modules
print(json.dumps(said))
"""


@pytest.fixture(scope="session")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return shared(tmp_path_factory)


def said_by(demo: Demo, repos: list[str], home: Path) -> dict[str, Any]:
    with EmbeddedHub(demo.folder / HUB_FOLDER, accounts=accounts()) as hub:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUBBOT_"))
        }
        environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [sys.executable, "-c", USER, *repos],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(said, dict)
    return said


def assert_words(said: dict[str, str], repos: list[str]) -> None:
    assert set(said) == set(repos)
    for repo, text in said.items():
        words = [word.strip(".,!?\"'") for word in text.split()]
        assert len(words) > 10, f"{repo}: {text}"
        assert all(word.isalpha() or "'" in word for word in words if word), f"{repo}: {text}"
        assert len({word.lower() for word in words}) > 6, f"{repo}: {text}"


def test_anybody_loads_them_with_stock_mlx_lm_and_they_speak(ended: Demo, tmp_path: Path) -> None:
    repos = [f"{ORG}/{name}" for name in SHORT]
    assert_words(said_by(ended, repos, tmp_path), repos)


@pytest.mark.slow
def test_every_single_one_of_them_speaks(ended: Demo, tmp_path: Path) -> None:
    repos = [item["repo"] for item in ended.record["published"]]
    assert_words(said_by(ended, repos, tmp_path), repos)
