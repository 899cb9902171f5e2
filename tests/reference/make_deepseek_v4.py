"""Record what transformers' DeepSeek-V4 answers in other shapes: `python -m tests.reference.make_deepseek_v4`.

It needs torch; the tests need only what it writes.
"""

from typing import Any

import numpy as np
import torch
from transformers import DeepseekV4Config, DeepseekV4ForCausalLM

from tests.reference.checkpoints import Floats
from tests.reference.deepseek_v4_shapes import RECORDED, SHAPES, ids, shape, weight


def logits(name: str) -> Floats:
    """The logits [TOKENS, vocabulary] of one pass over the text."""
    config = shape(name)
    made = DeepseekV4Config(**{key: value for key, value in config.items() if value is not None})
    made._attn_implementation = "eager"
    model = DeepseekV4ForCausalLM(made).float().eval()
    stored = model.state_dict()
    for key, value in stored.items():
        if "inv_freq" not in key:
            value.copy_(torch.from_numpy(weight(config, key, tuple(value.shape))).to(value.dtype))
    with torch.no_grad():
        found: Floats = model(torch.from_numpy(ids()), use_cache=False).logits[0].numpy()
    return found


def main() -> None:
    """Write deepseek_v4_shapes.npz."""
    torch.set_num_threads(1)
    recorded: dict[str, Any] = {name: logits(name) for name in SHAPES}
    np.savez_compressed(RECORDED, **recorded)


if __name__ == "__main__":
    main()
