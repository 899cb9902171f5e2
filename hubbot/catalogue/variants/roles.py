"""The role of a parameter in the runtime's model, read from its name; recipes go by role.

Roles: expert, router, shared_expert_gate, shared_expert, attention (and what stands in its place: recurrences,
convolutions), dense_mlp, embedding, lm_head, norm, bias, state (decays, time steps, hyper-connections), sinks,
other. It never looks at values.
"""

import re
from typing import Final

# First match wins; names are those of mlx-lm's modules.
_RULES: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("expert", re.compile(r"\.(?:switch_mlp|switch_glu|experts|experts\.\d+)\.\w+\.(?:weight|bias)$")),
    ("router", re.compile(r"\.(?:gate|gate\.proj|gate\.gate_proj)\.(?:weight|bias)$|\.router\.(?:\w+\.)?\w+$")),
    ("router", re.compile(r"\.(?:e_score_correction_bias|expert_bias|router_bias|tid2eid)$")),
    ("shared_expert_gate", re.compile(r"\.shared_expert_gate\.\w+$")),
    ("shared_expert", re.compile(r"\.(?:shared_experts?|share_expert|shared_mlp)\.\w+\.\w+$")),
    ("norm", re.compile(r"(?:^|[._])(?:\w*norm\w*)(?:\.\d+)?\.(?:weight|bias)$")),
    ("state", re.compile(r"\.(?:A_log|D|dt_bias|position_bias)$|(?:\.\w+_hc|\.hc_head)\.\w+$")),
    ("sinks", re.compile(r"\.(?:sinks|attention_sink_bias)$")),
    ("bias", re.compile(r"\.bias$")),
    ("dense_mlp", re.compile(r"\.(?:mlp|feed_forward|block_sparse_moe|mlps\.\d+)\.\w+\.weight$")),
    ("dense_mlp", re.compile(r"\.mixer\.(?:up|down)_proj\.weight$")),  # a Nemotron-H layer that is one
    ("attention", re.compile(r"\.(?:self_attn|attn|attention|linear_attn|mixer|mamba|conv)\.")),
    # Kimi K3's weights of earlier layers' outputs: attention over depth.
    ("attention", re.compile(r"\.(?:self_attention|mlp|output_attn)_res_proj\.weight$")),
    ("embedding", re.compile(r"embed_tokens\.weight$|embeddings\.weight$|(?:^|\.)wte\.weight$")),
    ("lm_head", re.compile(r"(?:^|\.)lm_head\.weight$")),
)
ROLES: Final = frozenset({role for role, _ in _RULES} | {"other"})
# Kept in their own dtype where the source holds them in float32 (the design, section 3.6). Sinks are not among
# them: MLX's scaled_dot_product_attention takes none that are wider than what it returns.
PROTECTED: Final = frozenset({"router", "state"})


def role_of(parameter: str) -> str:
    """Return the role of a runtime parameter, e.g. "model.layers.0.mlp.gate.weight" -> "router"."""
    for role, pattern in _RULES:
        if pattern.search(parameter):
            return role
    return "other"
