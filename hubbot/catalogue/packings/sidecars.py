"""Settings of a packing that stand in a file beside config.json, and whether the two say the same.

Sources: AutoGPTQ (quantize_config.json), AutoAWQ (quant_config.json), intel/auto-round
(quantization_config.json), NVIDIA ModelOpt (hf_quant_config.json). It reads no files.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hubbot.catalogue.packings import mlx
from hubbot.errors import UnknownPacking

CONFIG = "config.json"
# File -> the method that it speaks of where it names none; None: it has to name one.
SIDECARS: Mapping[str, str | None] = {
    "quantize_config.json": "gptq",
    "quant_config.json": "awq",
    "quantization_config.json": None,
    "hf_quant_config.json": "modelopt",
}
# How the methods spell themselves -> the key of packings.METHODS.
ALIASES: Mapping[str, str] = {
    "compressed_tensors": "compressed-tensors",
    "auto_round": "auto-round",
    "autoround": "auto-round",
    "intel/auto-round": "auto-round",
    "modelopt_fp4": "modelopt",
    "modelopt_mxfp8": "modelopt",
    "modelopt_mixed": "modelopt",
}
# What two descriptions of the same weights may not say differently, and other names of it.
_COMPARED: Mapping[str, tuple[str, ...]] = {
    "quant_method": ("quant_method",),
    "bits": ("bits", "w_bit"),
    "group_size": ("group_size", "q_group_size"),
    "quant_algo": ("quant_algo",),
    "checkpoint_format": ("checkpoint_format",),
    "packing_format": ("packing_format",),
    "zero_point": ("zero_point",),
}


def canonical(name: str) -> str:
    """Return the method's one name for any of its spellings."""
    return ALIASES.get(name.lower(), name.lower())


def described(
    declared: Mapping[str, Any], sidecars: Mapping[str, Mapping[str, Any]], repo: str
) -> Mapping[str, Any]:
    """Return the description of a packing: config.json's own block `declared`, else the first sidecar's.

    UnknownPacking names both files where two say different things. MLX's own block stands alone.
    """
    found, origin = declared, CONFIG
    if declared and mlx.is_mlx(declared):
        return declared
    for file, block in _blocks(sidecars):
        if not found:
            found, origin = block, file
            continue
        for key, one, other in _differences(found, block):
            if (
                key == "quant_method"
                and _produced_by(found) == SIDECARS[file]
                and "quant_method" not in sidecars[file]
            ):
                # ModelOpt calls fp8 of its own making with NVFP4 experts fp8 in config.json (nvidia/DeepSeek-V4).
                continue
            raise UnknownPacking(
                f"{origin} says {key} {str(one)[:60]!r}, {file} says {str(other)[:60]!r}",
                where=repo,
                hint="only one of them describes the weights: mend that file or remove it",
            )
    return found


def _produced_by(block: Mapping[str, Any]) -> str | None:
    producer = block.get("producer")
    name = producer.get("name") if isinstance(producer, Mapping) else None
    return name if isinstance(name, str) else None


def _blocks(sidecars: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield file and block of what speaks of a packing, with the method named."""
    for file, implied in SIDECARS.items():
        told = sidecars.get(file)
        if not told:
            continue
        method = told.get("quant_method") or implied
        speaks = any(key in told for key in ("bits", "w_bit", "quantization", "quant_algo"))
        if method and speaks:
            yield file, {**told, "quant_method": method}


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key, names in _COMPARED.items():
        first, second = (_value(block, names) for block in (one, other))
        if key == "quant_method":
            first, second = (canonical(str(value)) if value else None for value in (first, second))
        if first is not None and second is not None and first != second:
            yield key, first, second


def _value(block: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    nested = block.get("quantization")
    whole = {**block, **nested} if isinstance(nested, Mapping) else block
    return next((whole[name] for name in names if whole.get(name) is not None), None)
