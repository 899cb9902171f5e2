"""Microsoft: Phi-3.5-MoE.

A row knows one model type; it never reads a checkpoint.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from hubbot.catalogue.configs import ropes
from hubbot.catalogue.configs.conditions import is_wide
from hubbot.catalogue.configs.derivations import Derived
from hubbot.catalogue.configs.nesting import found_under
from hubbot.catalogue.families.defaults import COMMON
from hubbot.catalogue.families.provenances import MIXTRAL_FUSED, MIXTRAL_PER_EXPERT, MLX
from hubbot.catalogue.families.row import Extension, Family, Limit, Under


def _context_of_training(config: Mapping[str, Any]) -> Derived | None:
    """How long a context the short factors are for: as rope says, else as the config says outside it."""
    keys = ("rope_parameters.{0}", "rope_scaling.{0}", "{0}")
    found = found_under(config, tuple(key.format("original_max_position_embeddings") for key in keys))
    return Derived(value=next(iter(found.values())), keys=("original_max_position_embeddings",)) if found else None


def _is_long(config: Mapping[str, Any], _names: Collection[str]) -> bool:
    window = config.get("sliding_window")
    # A window as long as the context cuts nothing off.
    return ropes.kind_of(ropes.flat(config)) == "longrope" or (window is not None and not is_wide(window, config))


_PHIMOE = Family(
    model_type="phimoe",
    runtime="phimoe",
    blocks=("block_sparse_moe", "mlp"),
    runtime_block="block_sparse_moe",
    renormalises_one_expert=True,
    layouts={"per_expert_w": MIXTRAL_PER_EXPERT, "stacked_fused": MIXTRAL_FUSED, "mlx_switch": MLX},
    always={"norm": "layer", "scores": "sparsemixer", "attention_bias": True, "output_bias": True},
    defaults={
        **COMMON,
        "num_key_value_heads": 8,
        "original_max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000.0,
        "router_jitter_noise": 0.01,
        "num_experts_per_tok": 2,
    },
    limits={
        "num_experts_per_tok": Limit(
            values=(2,), reason="transformers' router takes two experts whatever the config says"
        )
    },
    renames=((r"\.router\.weight$", ".gate.weight"),),
    module_names=(("block_sparse_moe.gate", "mlp.router"), ("block_sparse_moe", "mlp")),
)
# With longrope or a window that acts; the published Phi-3.5-MoE and Phi-mini-MoE are these.
_LONG = replace(
    _PHIMOE,
    layouts={key: row for key, row in _PHIMOE.layouts.items() if key != "mlx_switch"},
    always={"norm": "layer", "scores": "sparsemixer"},
    defaults={
        **_PHIMOE.defaults,
        "attention_bias": False,
        "lm_head_bias": False,
        "sliding_window": None,
    },
    derived={"original_max_position_embeddings": _context_of_training},
    rope_kinds=frozenset({"default", "longrope"}),
    renames=((r"\.(?:gate|router)\.weight$", ".router.weight"),),
    extension=Extension(
        file="phimoe.py",
        reason="mlx-lm's phimoe class rotates by long_factor whatever the length of the context, and has no "
        "sliding window; it is no longer needed once mlx-lm's class computes both. In contexts longer than "
        "original_max_position_embeddings it takes long_factor, as Microsoft's code does, where transformers 5.24 "
        "keeps short_factor",
    ),
)
FAMILIES: tuple[Family, ...] = (
    replace(_PHIMOE, under=(Under(where="with longrope or a window", when=_is_long, row=_LONG),)),
)
