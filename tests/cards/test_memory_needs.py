"""Memory at 8192 tokens of context: by hand for three kinds of attention, and the Mac that holds it."""

from typing import Any

import pytest

from hubbot.cards.memory_needs import OVERHEAD_BYTES, cache_bytes, needed_bytes, smallest_mac

QWEN3_30B = {"num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128}
DEEPSEEK_V3 = {"num_hidden_layers": 61, "num_attention_heads": 128, "kv_lora_rank": 512, "qk_rope_head_dim": 64}


@pytest.mark.parametrize(
    ("config", "numbers_per_token"),
    [
        (QWEN3_30B, 48 * 2 * 4 * 128),
        (DEEPSEEK_V3, 61 * (512 + 64)),
        ({"text_config": QWEN3_30B, "num_hidden_layers": 1}, 48 * 2 * 4 * 128),
        ({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}, 2 * 2 * 4 * 16),
        ({"num_hidden_layers": "many", "num_attention_heads": True}, 0),
    ],
)
def test_the_cache_holds_two_bytes_for_each_number_of_8192_tokens(
    config: dict[str, Any], numbers_per_token: int
) -> None:
    assert cache_bytes(config) == 8192 * 2 * numbers_per_token


def test_weights_cache_and_runtime_are_needed_together() -> None:
    weights = 17_200_000_000
    assert needed_bytes(weights, QWEN3_30B) == weights + cache_bytes(QWEN3_30B) + OVERHEAD_BYTES
    assert smallest_mac(needed_bytes(weights, QWEN3_30B)) == "32 GB"


@pytest.mark.parametrize(
    ("gigabytes", "mac"),
    [(1, "8 GB"), (5.4, "16 GB"), (24, "36 GB"), (24.1, "48 GB"), (380, "512 GB"), (400, "over 512 GB")],
)
def test_a_mac_gives_two_thirds_of_its_memory_and_a_large_one_three_quarters(gigabytes: float, mac: str) -> None:
    assert smallest_mac(int(gigabytes * 1e9)) == mac
