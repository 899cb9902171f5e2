"""Tencent: HunYuan A13B as transformers computes it, Hunyuan-Large and its kin as published, and Hy3.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hubbot.catalogue.configs.derivations import Derived, copied
from hubbot.catalogue.configs.nesting import found_under
from hubbot.catalogue.families.defaults import COMMON, GROUPED
from hubbot.catalogue.families.provenances import MAPPED, MLX, NO_GROUPS, PART, PER_EXPERT, QWEN_FUSED
from hubbot.catalogue.families.row import Extension, Family, Limit, Provenance, Recognised
from hubbot.catalogue.reshapes import Config, Piece, Reshape
from hubbot.moves import Step, take


def _renormalised_top_k(config: Mapping[str, Any]) -> Derived | None:
    """Whether the weights of the chosen experts are renormalised: with one expert it keeps its probability."""
    # Tencent's own code (arXiv:2411.02265).
    found = found_under(config, ("moe_topk",))
    return Derived(value=found["moe_topk"] != 1, keys=("moe_topk",)) if found else None


class _FixedAlpha:
    """The rope_scaling values that stretch the base once: none, or "dynamic" with an alpha."""

    def __contains__(self, value: object) -> bool:
        if value is None:
            return True
        if not isinstance(value, Mapping) or value.get("type") != "dynamic":
            return False
        alpha = value.get("alpha")
        return isinstance(alpha, int | float) and not isinstance(alpha, bool) and alpha > 0


_ALPHA = Limit(
    values=_FixedAlpha(),
    reason="hubbot's HunYuan class computes no rope scaling but dynamic NTK with a fixed alpha",
)
_EXTENSION = Extension(
    file="hunyuan.py",
    reason="mlx-lm's hunyuan class does not renormalise the weights of the chosen experts, always ties the output "
    "layer to the embedding, and knows no head width but hidden_size / heads",
)
# Fields of hubbot's class that a config holds only where they are not the plain case.
_DEFAULTS: Mapping[str, Any] = {
    **COMMON,
    "moe_layer_num_skipped": 0,
}
# Where a config gives the experts no width of their own, it is that of its MLPs.
_DERIVED = {"moe_intermediate_size": copied("moe_intermediate_size", "intermediate_size")}
_ROUTER = (r"\.mlp\.gate\.wg\.weight$", ".mlp.gate.weight")


def _groups(config: Config) -> int:
    return int(config["num_key_value_heads"])


def _cut(
    start: Callable[[Config], int], stop: Callable[[Config], int], axis: int
) -> Callable[[Config], tuple[Step, ...]]:
    """Return the step that keeps, of every key-value head's rows, those of the heads from `start` to `stop`."""

    def steps(config: Config) -> tuple[Step, ...]:
        width = int(config["head_dim"])
        return (take(start(config) * width, stop(config) * width, axis=axis),)

    return steps


def _queries(config: Config) -> int:
    return int(config["num_attention_heads"]) // _groups(config)


def _qkv(leaf: str, axis: int) -> Reshape:
    cuts = {
        "q_proj": _cut(lambda _config: 0, _queries, axis),
        "k_proj": _cut(_queries, lambda config: _queries(config) + 1, axis),
        "v_proj": _cut(lambda config: _queries(config) + 1, lambda config: _queries(config) + 2, axis),
    }
    return Reshape(
        pattern=rf"(.*\.self_attn)\.qkv_proj\.{leaf}",
        pieces=tuple(
            Piece(name=rf"\1.{name}.{leaf}", groups=_groups, steps=cut, merge=True) for name, cut in cuts.items()
        ),
        reason="Tencent's qkv_proj holds, for every key-value head, its queries, one key and one value head",
    )


# Of the MLPs beside the experts: the shared one, and that of a dense layer.
_GATE_AND_UP = Reshape(
    pattern=r"(.*)\.gate_and_up_proj\.weight",
    pieces=(
        Piece(name=r"\1.up_proj.weight", part=(0, 2)),
        Piece(name=r"\1.gate_proj.weight", part=(1, 2)),
    ),
    reason="Tencent's gate_and_up_proj holds the up rows first: its MLP is first half x silu(second half)",
)
_PER_EXPERT = Provenance(order=None, source="mlx-lm's hunyuan.py, sanitize: one tensor per projection and expert")
_FUSED = Provenance(
    order="up-first",
    source="Tencent's modeling_hunyuan.py, and mlx-lm's hunyuan.py: gate_and_up_proj splits into up, gate",
)

FAMILIES: tuple[Family, ...] = (
    Family(
        model_type="hunyuan_v1_moe",
        taken_by={"transformers 5": ("per_expert", "stacked_fused")},
        runtime="hunyuan_v1_moe",
        extension=_EXTENSION,
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        # transformers' class has no switch for these: every layer has its own keys, a QK norm and a shared MLP.
        always={"renormalised": True},
        defaults={
            **_DEFAULTS,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "moe_topk": 1,
            "renormalise_top_k": True,
            "use_qk_norm": True,
            "use_cla": False,
            "cla_share_factor": 1,
            "use_mixed_mlp_moe": True,
            "num_shared_expert": 1,
        },
        derived_head_dim=True,
        derived=_DERIVED,
        renames=(_ROUTER,),
        limits={
            "rope_scaling": _ALPHA,
            "use_cla": Limit(values=(False,), reason="transformers computes no cross-layer attention for it"),
            "use_qk_norm": Limit(values=(True,), reason="transformers always normalises queries and keys"),
            "use_mixed_mlp_moe": Limit(values=(True,), reason="transformers always adds the shared MLP"),
            "moe_layer_num_skipped": Limit(values=(0,), reason="transformers puts experts in every layer"),
        },
    ),
    Family(
        model_type="hunyuan",
        # mlx-lm's class loads both and computes otherwise: what hubbot publishes has a class of its own.
        taken_by={"mlx-lm": ("per_expert", "mlx_switch")},
        runtime="hunyuan",
        extension=_EXTENSION,
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=True,
        layouts={"per_expert": _PER_EXPERT, "per_expert_up_first": _FUSED, "mlx_switch": MLX},
        # Tencent's configs say the rest themselves; what one of them leaves open is asked for, not assumed.
        always={"renormalised": True},
        defaults=_DEFAULTS,
        default_source="Tencent",
        derived_head_dim=True,
        derived={**_DERIVED, "renormalise_top_k": _renormalised_top_k},
        renames=(_ROUTER,),
        reshapes=(_qkv("weight", -2), _qkv("bias", -1), _GATE_AND_UP),
        limits={"rope_scaling": _ALPHA},
    ),
    # Hy3: GLM-4.5's decoder under other names.
    Family(
        model_type="hy_v3",
        runtime="glm4_moe",
        blocks=("mlp",),
        runtime_block="mlp",
        renormalises_one_expert=False,
        layouts={"per_expert": PER_EXPERT, "stacked_fused": QWEN_FUSED, "mlx_switch": MLX},
        always={"scores": "sigmoid", "selection": "biased", "renormalised": True, "qk_norm": "per_head"},
        defaults={
            **COMMON,
            **GROUPED,
            "use_qk_norm": True,
            "norm_topk_prob": True,
            "routed_scaling_factor": 2.826,
            "partial_rotary_factor": 1.0,
            "first_k_dense_replace": 1,
            "n_shared_experts": 1,
            "num_experts_per_tok": 8,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "rms_norm_eps": 1e-5,
            "rope_theta": 11158840.0,
        },
        derived={
            "routed_scaling_factor": copied("router_scaling_factor"),
            "norm_topk_prob": copied("route_norm"),
            "use_qk_norm": copied("qk_norm"),
            "moe_intermediate_size": copied("moe_intermediate_size", "expert_hidden_dim"),
        },
        limits={
            "norm_topk_prob": Limit(values=(True,), reason="transformers always renormalises the chosen experts"),
            "use_qk_norm": Limit(values=(True,), reason="transformers always normalises queries and keys"),
            "attention_bias": Limit(values=(False,), reason="mlx-lm's glm4_moe has no bias on attention's output"),
            "n_group": NO_GROUPS,
        },
        renames=(
            (r"\.mlp\.router\.gate\.weight$", ".mlp.gate.weight"),
            (r"\.mlp\.(?:expert_bias|e_score_correction_bias)$", ".mlp.gate.e_score_correction_bias"),
            (r"\.mlp\.shared_mlp\.", ".mlp.shared_experts."),
        ),
        module_names=(
            ("mlp.router.gate", "mlp.gate"),
            ("mlp.expert_bias", "mlp.e_score_correction_bias"),
            ("mlp.shared_mlp", "mlp.shared_experts"),
        ),
    ),
)
RECOGNISED: tuple[Recognised, ...] = (
    Recognised(model_type="hy_v4", layouts={"stacked_fused": MAPPED}),
    Recognised(model_type="hy_v4_vl", layouts={"stacked_fused": MAPPED}),
    Recognised(model_type="hy_v4_vl_text", layouts={}, reason=PART, waits=False),
)
