from pathlib import Path

import pytest

from hubbot.errors import SmokeFailed
from hubbot.runtime.generation import Speaker
from tests.checkpoints_on_disk import converted, look

OWL = Path(__file__).parents[2] / "hubbot" / "devhub" / "demo_models" / "owl"


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Speaker:
    return Speaker(converted(look(OWL), tmp_path_factory.mktemp("owl"), "8bit")["8bit"])


def test_greedy_decoding_says_the_same_twice_and_stops_at_the_limit(speaker: Speaker) -> None:
    one, two = (speaker.say("Once upon a time", max_tokens=6, temperature=0, seed=seed) for seed in (1, 2))
    assert one.text == two.text
    assert 0 < one.tokens <= 6
    assert one.finite
    assert one.tokens_per_second > 0
    assert one.first_token_seconds > 0


def test_sampling_is_decided_by_its_seed_alone(speaker: Speaker) -> None:
    said = {
        seed: [speaker.say("Once upon a time", max_tokens=12, temperature=1.5, seed=seed).text for _ in range(2)]
        for seed in range(4)
    }
    assert all(one == two for one, two in said.values())
    assert len({one for one, _ in said.values()}) > 1


def test_a_quantized_model_needs_no_upcast(speaker: Speaker) -> None:
    assert not speaker.upcast


def test_a_folder_without_a_model_is_a_failed_smoke_test(tmp_path: Path) -> None:
    with pytest.raises(SmokeFailed, match="cannot load"):
        Speaker(tmp_path)
