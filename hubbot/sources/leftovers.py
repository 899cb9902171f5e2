"""What training and other formats leave where a checkpoint ought to be: rows of names, what they are, the way out.

It judges names alone and never opens a file.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from hubbot.catalogue.tensors import without_drops
from hubbot.checkpoints import FLOAT_DTYPES, Checkpoint
from hubbot.errors import IncompleteCover, UnknownLayout

ADAPTER_CONFIG = "adapter_config.json"
MERGE = (
    "merge it into its base (peft: `AutoPeftModelForCausalLM.from_pretrained(DIR).merge_and_unload()"
    ".save_pretrained(OUT)`) and give hubbot the merged folder"
)
_UNWRAP = "save the model inside the wrapper (accelerate: `accelerator.unwrap_model(model).save_pretrained(OUT)`)"
_GATHER = (
    "gather the weights: `python zero_to_fp32.py . OUT --safe_serialization` in the checkpoint's folder, with its "
    "config.json and tokenizer beside OUT's weights; or save with stage3_gather_16bit_weights_on_model_save"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One kind: whole names that betray it, what it is called, and how to get a checkpoint from it."""

    names: re.Pattern[str]
    what: str
    way_out: str


# Files, by their path in the folder; looked at only where no weights are found.
FILES: tuple[Leftover, ...] = (
    Leftover(
        names=re.compile(r"(?:.*/)?(?:adapter_config\.json|adapter_model\.(?:safetensors|bin))"),
        what="a LoRA adapter, which holds no model of its own",
        way_out=MERGE,
    ),
    Leftover(
        names=re.compile(r"(?:.*/)?(?:zero_to_fp32\.py|(?:bf16_)?zero_pp_rank_\d+_mp_rank_\d+_\w+\.pt)"),
        what="DeepSpeed ZeRO shards of a training run, no weights that a loader reads",
        way_out=_GATHER,
    ),
    Leftover(
        names=re.compile(r"(?:.*/)?mp_rank_\d+(?:_\d+)*/(?:model_optim_rng|model_rng)\.pt|(?:.*/)?latest_checkpointed_iteration\.txt"),
        what="a Megatron-LM checkpoint, no weights that a loader reads",
        way_out="convert it to transformers' form first (Megatron-Bridge: `AutoBridge.export_ckpt`)",
    ),
    Leftover(
        names=re.compile(r"(?:.*/)?[\w-]+\.distcp"),
        what="an FSDP checkpoint in torch's distributed form, no weights that a loader reads",
        way_out="merge it (`accelerate merge-weights DIR OUT`) or load it and write it with save_pretrained",
    ),
    Leftover(
        names=re.compile(r"(?:.*/)?[^/]+\.gguf"),
        what="a GGUF conversion for llama.cpp",
        way_out="give hubbot the repo that it was converted from, with safetensors",
    ),
    Leftover(
        names=re.compile(r"(?:.*/)?consolidated\.\d+\.pth"),
        what="the maker's original torch files, which transformers does not read",
        way_out="give hubbot the repo in transformers' form (its name often ends with -hf)",
    ),
    Leftover(
        names=re.compile(r"(?:.*/)?(?:tf_model\.h5|flax_model[\w-]*\.msgpack|[^/]+\.onnx)"),
        what="weights for TensorFlow, Flax or ONNX",
        way_out="give hubbot the repo with safetensors",
    ),
)  # fmt: skip

# Tensors, by their names.
TENSORS: tuple[Leftover, ...] = (
    Leftover(
        names=re.compile(r".*\.(?:lora_(?:A|B|embedding_A|embedding_B|magnitude_vector)|base_layer)(?:\..+)?"),
        what="a tensor of a LoRA adapter that was not merged",
        way_out=MERGE,
    ),
    Leftover(
        names=re.compile(r"base_model\.model\..+"),
        what="named under peft's wrapper base_model.model",
        way_out=MERGE,
    ),
    Leftover(
        names=re.compile(r"(?:.*\.)?_orig_mod\..+"),
        what="named under torch.compile's wrapper _orig_mod",
        way_out=_UNWRAP,
    ),
    Leftover(
        names=re.compile(r"(?:.*\.)?(?:_fsdp_wrapped_module|_checkpoint_wrapped_module)\..+|(?:.*\.)?_?flat_param\w*"),
        what="named under FSDP's or activation checkpointing's wrapper",
        way_out=_UNWRAP,
    ),
    Leftover(
        names=re.compile(r"module\..+"),
        what="named under the wrapper `module` of DistributedDataParallel or DeepSpeed",
        way_out=_UNWRAP,
    ),
    Leftover(
        names=re.compile(r".*\.experts\.(?:[\w.]+\.)?linear_fc[12]\.(?:weight|bias)\d*"),
        what="in Megatron-LM's naming",
        way_out="convert the checkpoint to transformers' form first (Megatron-Bridge: `AutoBridge.export_ckpt`)",
    ),
)  # fmt: skip

# What every name that a row of TENSORS matches contains.
_SUSPECT = re.compile(
    r"lora_|base_layer|base_model\.model\.|_orig_mod\.|_wrapped_module|flat_param|^module\.|linear_fc"
)


def of_files(paths: Iterable[str]) -> tuple[str, Leftover] | None:
    """Return the first file that a row of FILES knows, with the row, or None; rows go before files."""
    names = sorted(paths)
    found = ((name, row) for row in FILES for name in names if row.names.fullmatch(name))
    return next(found, None)


def refuse_tensors(checkpoint: Checkpoint) -> None:
    """Raise UnknownLayout for wrapped or adapter tensors, IncompleteCover for the empty ones of ZeRO-3."""
    odd = {name: info for name, info in checkpoint.tensors.items() if _SUSPECT.search(name) or not info.elements}
    kept = without_drops(replace(checkpoint, tensors=odd))[0].tensors
    for row in TENSORS:
        names = [name for name in kept if row.names.fullmatch(name)]
        if names:
            more = f", and so are {len(names) - 1} more of {len(checkpoint.tensors)}" if len(names) > 1 else ""
            raise UnknownLayout(f"{names[0]!r} is {row.what}{more}", where=checkpoint.repo.id, hint=row.way_out)
    empty = [info for info in kept.values() if info.dtype in FLOAT_DTYPES and info.elements == 0]
    if empty:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        raise IncompleteCover(
            f"{empty[0].name!r} {list(empty[0].shape)}{more} are empty, as DeepSpeed ZeRO-3 leaves the weights "
            "that another rank holds",
            where=empty[0].shard,
            hint=_GATHER,
        )
