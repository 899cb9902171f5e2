"""Reference models of Databricks; rows.py says what a row means."""

from tests.reference.rows import DEFAULT_ROPE, Family, Model, rope

FAMILIES = (
    Family(
        model_type="dbrx",
        config={
            "vocab_size": 128,
            "d_model": 128,
            "n_heads": 4,
            "n_layers": 2,
            "max_seq_len": 512,
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 1.5, "rope_theta": 51234.0},
            "ffn_config": {"ffn_hidden_size": 192, "moe_num_experts": 6, "moe_top_k": 2},
            "rope_parameters": rope(),
            "tie_word_embeddings": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        matters={"rope_parameters": DEFAULT_ROPE},
        models=(Model(name="base", forms=("orig", "bf16")),),
    ),
)
