"""Config keys that change the function unless they hold a neutral value, and keys that only repeat another.

They act even where neither runtime reads them: what a vendor's own code computes by them must not pass in silence.
"""

import re
from collections.abc import Mapping

from hubbot.catalogue.configs.meanings import Neutral, Repeats

_NO_SUCH_PART = "no class of mlx-lm that leaves the key unread has such a part"
_FACTOR = Neutral(
    values=(1, 1.0), reason="a factor of 1 scales nothing", source="granite's and MiniCPM's configuration classes"
)
_OFF = Neutral(values=(False,), reason=_NO_SUCH_PART, source="the key's name: a part that is switched off")
_ABSENT = Neutral(values=(), reason=_NO_SUCH_PART, source="the key's name; null is none")
_BETA = Neutral(
    values=(1, 1.0),
    reason="left over from MiniMax-M1, whose residuals it scales; M2's own code stores and never uses it",
    source="ModelCloud/GPTQModel: gptqmodel/hf_minimax_m2/configuration_minimax_m2.py",
)

ACTING: Mapping[str, Neutral] = {
    # Attention.
    "clip_qkv": _ABSENT,
    "alibi": _OFF,
    "use_alibi": _OFF,
    "parallel_attn": _OFF,
    "use_parallel_residual": _OFF,
    "add_cross_attention": _OFF,
    "use_cla": _OFF,
    "position_embedding_xdrope": _OFF,
    "use_kda_lora": _OFF,
    "attention_sink": _OFF,
    "use_attention_sinks": _OFF,
    "pruned_heads": Neutral(values=({}, []), reason="no head is pruned", source="transformers' PreTrainedConfig"),
    # The router and its experts.
    "moe_apply_router_weight_on_input": _OFF,
    "apply_router_weight_on_input": _OFF,
    "moe_drop_tokens": _OFF,
    "use_dynamic_moe": _OFF,
    "zero_expert_num": Neutral(
        values=(0,), reason="no expert without weights", source="LongCat-Flash's config class"
    ),
    "num_zero_experts": Neutral(values=(0,), reason="no expert without weights", source="the key's name"),
    "mlp_only_layers": Neutral(
        values=([],),
        reason="no layer is dense by its number",
        source="transformers: qwen3_moe/modeling_qwen3_moe.py",
    ),
    "norm_softmax": _OFF,
    "norm_head": _OFF,
    "multi_gate": _OFF,
    "num_reward_heads": Neutral(
        values=(0,), reason="no head but the output layer", source="MiniMax-M3's config.json"
    ),
    # What scales or clamps activations.
    "layernorm_full_attention_beta": _BETA,
    "layernorm_linear_attention_beta": _BETA,
    "layernorm_mlp_beta": _BETA,
    "scale_emb": _FACTOR,
    "logits_scaling": _FACTOR,
    "logit_scale": _FACTOR,
    # A file of the repository that mlx-lm would run.
    "model_file": Neutral(values=(), reason="it names code", source="mlx-lm's load_model"),
    # MiniMax-M3's sparse attention, the parts that neither class computes otherwise.
    "sparse_attention_config.use_sparse_attention": Neutral(
        values=(True,), reason="sparse_attention_freq says where", source="mlx-lm: models/minimax_m3_vl.py"
    ),
    "sparse_attention_config.sparse_score_type": Neutral(
        values=("max",),
        reason="a block's score is its best key's, in both classes",
        source="transformers: minimax_m3_vl/modeling_minimax_m3_vl.py",
    ),
    "sparse_attention_config.sparse_init_block": Neutral(
        values=(0,),
        reason="no block is kept for being first, in both classes",
        source="transformers: minimax_m3_vl/modeling_minimax_m3_vl.py",
    ),
}
_ACTING_PATTERNS: tuple[tuple[re.Pattern[str], Neutral], ...] = (
    (re.compile(r"\w*multiplier\w*|\w*_beta"), _FACTOR),
    (
        re.compile(r"\w*soft_?cap\w*"),
        Neutral(values=(0, 0.0, False), reason=_NO_SUCH_PART, source="the key's name"),
    ),
    (re.compile(r"output_gate\w*"), _OFF),
)

_SAME_BASE = "transformers: lfm2_moe/configuration_lfm2_moe.py reads rope_theta alone"
_GPT_OSS = "openai/gpt-oss: the numbers of rope_scaling once more, under the names of OpenAI's own code"
REPEATED: Mapping[str, Repeats] = {
    **dict.fromkeys(
        ("theta", "rotary_base", "rotary_emb_base", "rope_base", "rope_local_base_freq"),
        Repeats(
            fields=("rope_theta",),
            keys=("rope_theta", "rope_parameters.rope_theta"),
            reason="another name of rope_theta",
            source=_SAME_BASE,
        ),
    ),
    "attention_chunk_size": Repeats(
        fields=("sliding_window",),
        keys=("sliding_window", "sliding_window_size"),
        reason="another name of the window",
        source="NVIDIA-NeMo/Megatron-Bridge: models/mimo_v2_flash/mimo_v2_flash_bridge.py",
    ),
    "experts_per_token": Repeats(
        fields=("num_experts_per_tok",), reason="another name of num_experts_per_tok", source=_GPT_OSS
    ),
    "initial_context_length": Repeats(
        keys=(
            "rope_scaling.original_max_position_embeddings",
            "rope_parameters.original_max_position_embeddings",
            "max_position_embeddings",
        ),
        reason="the context before scaling", source=_GPT_OSS,
    ),
    "rope_scaling_factor": Repeats(
        keys=("rope_scaling.factor", "rope_parameters.factor"),
        reason="the factor of rope_scaling",
        source=_GPT_OSS,
    ),
    "rope_ntk_alpha": Repeats(
        keys=("rope_scaling.beta_slow", "rope_parameters.beta_slow"), reason="yarn's beta_slow", source=_GPT_OSS
    ),
    "rope_ntk_beta": Repeats(
        keys=("rope_scaling.beta_fast", "rope_parameters.beta_fast"), reason="yarn's beta_fast", source=_GPT_OSS
    ),
    "linear_num_heads": Repeats(
        fields=("num_attention_heads",), reason="as many as attention has",
        source="transformers: bailing_hybrid/configuration_bailing_hybrid.py, __post_init__",
    ),
}  # fmt: skip


def acting(key: str) -> Neutral | None:
    """Return under which values `key` has no effect, or None where no row knows it."""
    found = ACTING.get(key)
    return found or next((row for pattern, row in _ACTING_PATTERNS if pattern.fullmatch(key)), None)
