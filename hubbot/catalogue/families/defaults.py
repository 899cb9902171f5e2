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
# And of those whose attention compresses keys and values into a latent (MLA), after DeepSeek-V3.
LATENT: Mapping[str, Any] = {
    **GROUPED,
    "norm_topk_prob": True,
    "moe_layer_freq": 1,
    "rope_theta": 10000.0,
}
# Of latent attention where the router takes the best experts of all.
GREEDY_LATENT: Mapping[str, Any] = {
    "n_group": 1,
    "topk_group": 1,
    "routed_scaling_factor": 1.0,
    "first_k_dense_replace": 0,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
}
