"""Reference models of Meituan; rows.py says what a row means."""

from tests.reference.rows import COMMON, DEFAULT_ROPE, LATENT, LAYOUT_FORMS, Family, Model

FAMILIES = (
    Family(
        model_type="longcat_flash",
        config={k: v for k, v in COMMON.items() if k not in {"num_hidden_layers", "num_key_value_heads"}}
        | {key: value for key, value in LATENT.items() if key != "num_key_value_heads"}
        | {
            "num_layers": 2,
            "ffn_hidden_size": 192,
            "expert_ffn_hidden_size": 64,
            "moe_topk": 3,
            "n_routed_experts": 6,
            "zero_expert_num": 3,
            "routed_scaling_factor": 3.5,
            "head_dim": 64,
        },
        added={
            "attention_method": "MLA",
            "zero_expert_type": "identity",
            "mla_scale_q_lora": True,
            "mla_scale_kv_lora": True,
        },
        matters={"rope_parameters": DEFAULT_ROPE, "routed_scaling_factor": 1.0},
        models=(Model(name="base", forms=LAYOUT_FORMS),),
    ),
)
