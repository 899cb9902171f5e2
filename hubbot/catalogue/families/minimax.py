"""MiniMax: M2, and M3 inside the model that also sees.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from hubbot.catalogue.configs.derivations import Derived, copied
from hubbot.catalogue.configs.nesting import look_up
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import MAPPED, MIXTRAL_FUSED, MIXTRAL_PER_EXPERT, MLX, PART
from hubbot.catalogue.families.row import Family, Recognised
from hubbot.catalogue.reshapes import Piece, Reshape
from hubbot.catalogue.towers import Tower

# transformers 5 joins the gate and up projections of a dense MLP, gate first.
_JOINED_GATE_UP = Reshape(
    pattern=r"(.*)\.gate_up_proj\.weight",
    pieces=(
        Piece(name=r"\1.gate_proj.weight", part=(0, 2)),
        Piece(name=r"\1.up_proj.weight", part=(1, 2)),
    ),
    reason="transformers 5.23 conversion_mapping: gate_proj, up_proj -> gate_up_proj, Concatenate(dim=0)",
)


def _kinds_of_attention(config: Mapping[str, Any]) -> Derived | None:
    """MiniMax-M3's layer_types, or sparse_attention_freq in its words: 1 where only chosen blocks are seen."""
    if isinstance(config.get("layer_types"), list):
        return Derived(value=config["layer_types"], keys=("layer_types",))
    where = look_up(config, "sparse_attention_config.sparse_attention_freq")
    if not isinstance(where, list) or not all(one in (0, 1) for one in where):
        return None
    kinds = ["minimax_m3_sparse" if sparse else "full_attention" for sparse in where]
    return Derived(value=kinds, keys=("sparse_attention_config.sparse_attention_freq",))


def _other_projector(config: Mapping[str, Any]) -> str | None:
    width, inner = config.get("projector_hidden_size"), look_up(config, "text_config.hidden_size")
    if width in (None, inner):
        return None
    return f"mlx-vlm's class merges patches {inner} wide, and the config says projector_hidden_size = {width!r}"


FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="minimax_m2",
        runtime="minimax",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        renormalises_one_expert=True,
        layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED, "mlx_switch": MLX},
        always={"scores": "sigmoid", "selection": "biased", "renormalised": True, "qk_norm": "per_layer"},
        defaults={
            **COMMON,
            "scoring_func": "sigmoid",
            "shared_intermediate_size": 0,
            "use_qk_norm": True,
            "rms_norm_eps": 1e-6,
            "rope_theta": 5000000.0,
            "head_dim": 128,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 8,
        },
        renames=((r"\.mlp\.gate\.e_score_correction_bias$", ".mlp.e_score_correction_bias"),),
        module_names=(("block_sparse_moe", "mlp"),),
    ),
    Family(
        model_type="minimax_m3_vl",
        runtime="minimax_m3_vl",
        blocks=("block_sparse_moe", "mlp"),
        runtime_block="block_sparse_moe",
        renormalises_one_expert=True,
        layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED, "mlx_switch": MLX},
        text_args="minimax_m3_vl.TextArgs",
        text_type="minimax_m3_vl_text",
        always={
            "activation": ("silu", "swigluoai"),
            "scores": "sigmoid",
            "selection": "biased",
            "renormalised": True,
            "qk_norm": "per_head",
            "shared_experts": 1,
        },
        defaults={
            **COMMON,
            "rms_norm_eps": 1e-6,
            "rope_theta": 5000000.0,
            "routed_scaling_factor": 2.0,
            "use_qk_norm": True,
            "use_gemma_norm": True,
            "swiglu_alpha": 1.702,
            "swiglu_limit": 7.0,
            "index_local_blocks": 1,
            "moe_layer_freq": None,
            "mlp_layer_types": None,
            "layer_types": None,
            "sparse_attention_freq": None,
            "index_n_heads": None,
            "index_head_dim": None,
            "index_block_size": None,
            "index_topk_blocks": None,
            "partial_rotary_factor": 0.5,
            "head_dim": 128,
            "num_experts_per_tok": 4,
            "num_key_value_heads": 4,
            "rotary_dim": 64,
        },
        # The published config nests what transformers 5 spells out.
        derived={"layer_types": _kinds_of_attention}
        | {
            field: copied(f"sparse_attention_config.{key}", field)
            for field, key in {
                "index_n_heads": "sparse_num_index_heads",
                "index_head_dim": "sparse_index_dim",
                "index_block_size": "sparse_block_size",
                "index_topk_blocks": "sparse_topk_blocks",
                "index_local_blocks": "sparse_local_block",
                "sparse_attention_freq": "sparse_attention_freq",
            }.items()
        },
        fixed={"sparse_attention_config": (None, "spelled out in its parts")},
        renames=(
            (r"^model\.language_model\.", "language_model.model."),
            (r"^lm_head\.", "language_model.lm_head."),
            (r"\.indexer\.([qk]_(?:proj|norm))\.", r".index_\1."),
            (r"\.mlp\.gate\.e_score_correction_bias$", ".mlp.e_score_correction_bias"),
        ),
        reshapes=(_JOINED_GATE_UP,),
        tower=Tower(
            renames=(
                # As transformers 5 spells its modules.
                (
                    r"^model\.vision_tower\.embeddings\.proj\.",
                    "vision_tower.vision_model.embeddings.patch_embedding.",
                ),
                (r"^model\.vision_tower\.layers\.", "vision_tower.vision_model.encoder.layers."),
                (r"^model\.vision_tower\.(?!vision_model\.)", "vision_tower.vision_model."),
                (r"^model\.multi_modal_projector\.merge_linear_", "patch_merge_mlp.linear_"),
                (r"^(?:model\.)?(vision_tower|multi_modal_projector|patch_merge_mlp)\.", r"\1."),
            ),
            outer=(
                "image_token_index",
                "video_token_index",
                "image_token_id",
                "video_token_id",
                "vision_start_token_id",
                "vision_end_token_id",
                "projector_hidden_size",
                "projector_hidden_act",
                "multimodal_projector_bias",
                "patch_merge_bias",
                "img_token_compression_config",
                "vision_feature_layer",
                "vision_feature_select_strategy",
                "image_seq_length",
            ),
            unfit=_other_projector,
            differences=(
                "of more than index_topk_blocks blocks of tokens, in text too, it sees to others than the source",
            ),
            # mlx-lm keeps the shared expert beside the routed ones.
            text=lambda _config: {"pack_shared_expert": False},
        ),
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(
        model_type="minimax",
        layouts={"per_expert_w": MAPPED, "stacked_fused": MAPPED},
        reason="MiniMax-01 and M1 compute another function than mlx-lm's class of that name, which is M2's",
    ),
    Recognised(model_type="minimax_m3_vl_text", layouts={}, reason=PART, waits=False),
)
