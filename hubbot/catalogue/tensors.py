"""Tensors beside the experts: what a family calls them on disk, and which are dropped for what reason.

A drop is knowledge with a reason; a tensor that no rule names must find its place in the runtime's model.
"""

import re
from collections.abc import Collection, Container, Mapping
from dataclasses import replace
from typing import Any

from hubbot.catalogue.configs.nesting import TEXT, decoder
from hubbot.catalogue.families import Family
from hubbot.catalogue.reshapes import reshaped
from hubbot.catalogue.towers import KeptTower, kept_tower
from hubbot.checkpoints import Checkpoint

TOWER = "a part of the vision or audio tower; mlx-lm runs the text decoder alone"
_SEES = "for tokens of images alone; mlx-lm runs the text decoder alone"
TIED = "tie_word_embeddings is true: the output layer is the embedding, as in transformers"
ZERO_BIAS = "a bias that mlx-lm's class has no place for; every number of it is zero"
# (whole-name pattern, config key that must hold or None, reason)
_DROPS: tuple[tuple[re.Pattern[str], str | None, str], ...] = (
    (
        re.compile(r".*\.rotary_emb\.inv_freq"),
        None,
        "rotary frequencies are computed from rope_theta by the runtime",
    ),
    (
        re.compile(r"(?:model\.)?mtp(?:_(?:block|emb_norm|hidden_norm|linear_proj))?\.[\w.]+"),
        None,
        "a multi-token-prediction head, which decoding does not use",
    ),
    (
        re.compile(r"(?:.*\.)?lm_head\.weight"),
        "tie_word_embeddings",
        TIED,
    ),
    (
        re.compile(
            r"(?:thinker\.)?(?:model\.)?(?:visual|vision_(?:tower|model|embedder)|audio_tower|embed_(?:vision|audio)"
            r"|multi_modal_projector|mm_projector|vit_large_projector|patch_merge_mlp|projector"
            r"|sam_model|qwen2_model|resampler_model)\..+"
            r"|model\.(?:view_sep[ae]rator|image_newline)"
        ),
        "text_config",
        TOWER,
    ),
    (
        re.compile(r"(?:talker|code2wav)\..+"),
        "text_config",
        "a part that speaks what the text decoder says; mlx-lm runs the text decoder alone",
    ),
    (re.compile(r".*\.mlp\.gate\.weight_1"), "text_config", f"a router {_SEES}"),
)
# What every name that a row of _DROPS matches contains.
_MAYBE = re.compile(
    r"rotary_emb|mtp|lm_head|visual|vision|audio|projector|patch_merge|sam_model|qwen2_model|resampler_model"
    r"|view_sep|image_newline|talker|code2wav|weight_1"
)
_LAYER = re.compile(r"(?:[\w-]+\.)*?layers\.(\d{1,6})\.")
# The projections of a dense layer, which every class calls mlp.
_DENSE = re.compile(r"\.layers\.\d+\.mlp\.(?:gate|up|down|gate_up)_proj\.\w+$")
_EXPERT = re.compile(r"\.experts\.(\d{1,6})\.")


def without_drops(checkpoint: Checkpoint, family: Family | None = None) -> tuple[Checkpoint, dict[str, str]]:
    """Return the checkpoint without the tensors that are not taken over, and those with the reason.

    `family` tells what its config says where it says nothing about tied embeddings.
    """
    config = {**_told(family), **checkpoint.config}
    drops = {name: reason for name in checkpoint.tensors if (reason := drop_reason(name, config))}
    kept = {name: info for name, info in checkpoint.tensors.items() if name not in drops}
    return replace(checkpoint, tensors=kept), drops


def tower_of(checkpoint: Checkpoint, packed: Collection[str], family: Family, *, text_only: bool) -> KeptTower:
    """Return what becomes of the tower of `checkpoint`, unpacked; `packed` are the tensors stored as codes."""
    maybe = (name for name in checkpoint.tensors if _MAYBE.search(name))
    names = [name for name in maybe if drop_reason(name, checkpoint.config) == TOWER]
    return kept_tower(names, checkpoint.config, checkpoint.tensors, packed, family.tower, text_only=text_only)


def is_stray_bias(name: str, family: Family, config: Mapping[str, Any], parameters: Container[str]) -> bool:
    """Say whether a source tensor is a bias of a module that has none in a class with `parameters`."""
    if not name.endswith(".bias"):
        return False
    made = [piece.output for piece in reshaped(runtime_name(name, family), family.reshapes, config)]
    return all(
        output.endswith(".bias")
        and output not in parameters
        and f"{output.removesuffix('.bias')}.weight" in parameters
        for output in made
    )


def is_tied(config: Mapping[str, Any], family: Family) -> bool:
    """Say whether the source's output layer is its embedding, by its config or the family's default."""
    return bool(decoder({**_told(family), **config}).get("tie_word_embeddings"))


def _told(family: Family | None) -> dict[str, Any]:
    return {key: family.defaults[key] for key in ("tie_word_embeddings",) if family and key in family.defaults}


def drop_reason(name: str, config: Mapping[str, Any]) -> str | None:
    """Return why source tensor `name` is not taken over under `config`, or None if it must be."""
    text = decoder(config)
    for pattern, condition, reason in _DROPS if _MAYBE.search(name) else ():
        held = config if condition == TEXT else text
        if pattern.fullmatch(name) and (condition is None or held.get(condition)):
            return reason
    if _is_head_layer(name, text):
        return "a layer beyond num_hidden_layers: a multi-token-prediction head, which decoding does not use"
    if _is_vision_expert(name, config, text):
        return f"an expert {_SEES}"
    if _is_norm_of_a_dense_layer(name, text):
        return "a norm behind experts that a dense layer does not have; transformers ignores it too"
    if _is_zero_expert(name, text):
        return "a zero expert returns its input; transformers writes weights for it and never reads them"
    return None


def _is_head_layer(name: str, config: Mapping[str, Any]) -> bool:
    heads, layers = _whole(config.get("num_nextn_predict_layers")), _whole(config.get("num_hidden_layers"))
    # Of a hundred thousand names each is asked: the config first, then the name.
    found = _LAYER.match(name) if heads and layers else None
    return bool(found and layers <= int(found[1]) < layers + heads)


def _is_vision_expert(name: str, config: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    # ERNIE 4.5 VL: the experts for text come first, then as many of another width for images.
    widths, count = text.get("moe_intermediate_size"), _whole(text.get("moe_num_experts"))
    found = _EXPERT.search(name) if isinstance(widths, list) and len(widths) == 2 and TEXT in config else None
    return bool(found and count <= int(found[1]) < 2 * count)


def _is_norm_of_a_dense_layer(name: str, config: Mapping[str, Any]) -> bool:
    # A.X K1's published files hold it for every layer (transformers: axk1, _keys_to_ignore_on_load_unexpected).
    found = _LAYER.match(name) if name.endswith(".post_mlp_layernorm.weight") else None
    kinds = config.get("mlp_layer_types")
    if found and isinstance(kinds, list) and int(found[1]) < len(kinds):
        return bool(kinds[int(found[1])] == "dense")
    return found is not None and int(found[1]) < _whole(config.get("first_k_dense_replace"))


def _is_zero_expert(name: str, config: Mapping[str, Any]) -> bool:
    zeros, real = _whole(config.get("zero_expert_num")), _whole(config.get("n_routed_experts"))
    found = _EXPERT.search(name) if zeros else None
    return bool(found and real <= int(found[1]) < real + zeros)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def runtime_name(name: str, family: Family) -> str:
    """Return the parameter of the runtime's model that a source tensor beside the experts becomes."""
    name = renamed(name, family)
    for block in family.blocks:
        if block and block != family.runtime_block and not _DENSE.search(name):
            name = re.sub(rf"(\.layers\.\d+\.){block}\.", rf"\g<1>{family.runtime_block}.", name)
    return name


def share(name: str, family: Family, config: Mapping[str, Any]) -> int:
    """Return of how many equal parts of a source tensor only the first is taken over: 1 where it is the whole."""
    rows = [row for row in family.reshapes if row.shares > 1]
    return reshaped(runtime_name(name, family), rows, config)[0].shares if rows else 1


def renamed(name: str, family: Family) -> str:
    """Return a name, or the beginning of one that ends with a dot, under the family's own renames."""
    for pattern, replacement in family.renames:
        name = re.sub(pattern, replacement, name)
    return name
