"""What the transformers 5.23 config classes of several families say where a config.json says nothing.

The defaults of one family alone stand in its row.
"""

from collections.abc import Mapping
from typing import Any

# What the config classes of all these families say where a config.json says nothing.
COMMON: Mapping[str, Any] = {
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "rope_scaling": None,
    "rope_traditional": False,
}
# And of those whose router takes sigmoid scores with a correction bias.
GROUPED: Mapping[str, Any] = {
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "n_group": 1,
    "topk_group": 1,
}
