"""Reference checkpoints in packed forms on disk, each beside one that stores the same values unpacked."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.packers import (
    Pack,
    Stored,
    awq,
    by_name,
    fp8_block,
    fp8_shared,
    fused,
    gptq,
    int_quantized,
    mxfp4_blocks,
    mxfp4_packed,
    nvfp4,
    pack_quantized,
    without,
)
from tests.reference.checkpoints import Floats, case, tensors


@dataclass(frozen=True, kw_only=True)
class Form:
    """One packed form: what config.json says of it, how a weight is packed, what else is stored."""

    config: Mapping[str, Any]
    pack: Pack
    extra: Mapping[str, tuple[str, NDArray[Any]]] = field(default_factory=dict)
    dtype: str = "bfloat16"


def compressed(kind: str, weights: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A compressed-tensors block with one group."""
    group = {"targets": ["Linear"], "weights": dict(weights), "input_activations": None}
    return {
        "quant_method": "compressed-tensors", "format": kind, "config_groups": {"group_0": group},
        "ignore": ["lm_head", "re:.*gate$"], "quantization_status": "compressed", **more,
    }  # fmt: skip


def _ints(bits: int, group: int | None, *, symmetric: bool = True, **more: Any) -> dict[str, Any]:
    strategy = {"strategy": "group", "group_size": group} if group else {"strategy": "channel"}
    return {"num_bits": bits, "type": "int", "symmetric": symmetric, **strategy, **more}


def _gptq(bits: int, group: int, kind: str, *, ordered: bool) -> dict[str, Any]:
    return {
        "quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": ordered, "sym": False,
        "checkpoint_format": kind,
    }  # fmt: skip


_FP8 = {"quant_method": "fp8", "weight_block_size": [32, 32], "activation_scheme": "dynamic"}
_NV = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric": True}
_AUTO = {"quant_method": "auto-round", "bits": 4, "group_size": 32, "sym": False, "data_type": "int"}
_AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}
FORMS: Mapping[str, Form] = {
    "fp8 blocks": Form(config=_FP8, pack=fp8_block((32, 32))),
    "fp8 ragged blocks": Form(
        config=_FP8 | {"weight_block_size": [48, 80]}, pack=fp8_block((48, 80), scale="BF16")
    ),
    "fp8 e8m0 blocks": Form(config=_FP8, pack=fp8_block((32, 32), scale="F8_E8M0", ending=".scale")),
    "fp8 tensor": Form(
        config={"quant_method": "fp8"}, pack=fp8_shared("tensor", ending=".weight_scale_inv", scale="BF16")
    ),
    "fp8 channel": Form(config={"quant_method": "fbgemm_fp8"}, pack=fp8_shared("channel", ending=".weight_scale")),
    "float-quantized channel": Form(
        config=compressed("float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel"}),
        pack=fp8_shared("channel", ending=".weight_scale", scale="BF16"),
    ),
    "float-quantized tensor": Form(
        config=compressed("naive-quantized", {"num_bits": 8, "type": "float", "strategy": "tensor"}),
        pack=fp8_shared("one", ending=".weight_scale"),
    ),
    "float-quantized block": Form(
        config=compressed(
            "float-quantized",
            {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [48, 80]},
        ),
        pack=fp8_block((48, 80), ending=".weight_scale"),
    ),
    "mxfp8": Form(
        config=compressed(
            "mxfp8-quantized", {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 32}
        ),
        pack=fp8_block((1, 32), scale="F8_E8M0", ending=".weight_scale"),
    ),
    "pack-quantized int4": Form(config=compressed("pack-quantized", _ints(4, 32)), pack=pack_quantized(4, 32)),
    "pack-quantized int4 channel": Form(
        config=compressed("pack-quantized", _ints(4, None)), pack=pack_quantized(4, None)
    ),
    "pack-quantized int8": Form(config=compressed("pack-quantized", _ints(8, 64)), pack=pack_quantized(8, 64)),
    "pack-quantized int4 with zero points": Form(
        config=compressed("pack-quantized", _ints(4, 32, symmetric=False)),
        pack=pack_quantized(4, 32, symmetric=False),
    ),
    "pack-quantized int4 in order": Form(
        config=compressed("pack-quantized", _ints(4, 32, actorder="group")),
        pack=pack_quantized(4, 32, ordered=True),
    ),
    "int-quantized": Form(config=compressed("int-quantized", _ints(8, None)), pack=int_quantized(symmetric=True)),
    "int-quantized with zero points": Form(
        config=compressed("int-quantized", _ints(8, None, symmetric=False)), pack=int_quantized(symmetric=False)
    ),
    "nvfp4-pack-quantized": Form(config=compressed("nvfp4-pack-quantized", _NV), pack=nvfp4(divides=True)),
    "mxfp4-pack-quantized": Form(
        config=compressed(
            "mxfp4-pack-quantized", {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32}
        ),
        pack=mxfp4_packed,
    ),
    "modelopt nvfp4": Form(
        config={"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_scheme": None},
        pack=nvfp4(divides=False),
    ),
    "modelopt fp8": Form(
        config={"quant_method": "modelopt", "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}},
        pack=fp8_shared("tensor", ending=".weight_scale"),
        extra={
            "model.layers.0.self_attn.k_proj.k_scale": ("F32", np.ones((), np.float32)),
            "model.layers.0.self_attn.v_proj.v_scale": ("F32", np.ones((), np.float32)),
        },
    ),
    "gptq": Form(
        config=_gptq(4, 32, "gptq", ordered=False), pack=gptq(4, 32, less=1, ordered=False), dtype="float16"
    ),
    "gptq in order": Form(
        config=_gptq(4, 32, "gptq", ordered=True), pack=gptq(4, 32, less=1, ordered=True), dtype="float16"
    ),
    "gptq_v2 of 8 bits": Form(
        config=_gptq(8, 64, "gptq_v2", ordered=False), pack=gptq(8, 64, less=0, ordered=False), dtype="float16"
    ),
    "awq": Form(config=_AWQ, pack=awq(32), dtype="float16"),
    "gptq with 8 bits for down": Form(
        config=_gptq(4, 32, "gptq", ordered=False)
        | {"dynamic": {"-:.*mlp\\.gate$": {}, "+:.*down_proj.*": {"bits": 8}}},
        pack=by_name({"down_proj": gptq(8, 32, less=1, ordered=False)}, gptq(4, 32, less=1, ordered=False)),
        dtype="float16",
    ),
    "gptq_v2 in order with 2 and 8 bits in other groups": Form(
        config=_gptq(4, 32, "gptq_v2", ordered=True)
        | {"dynamic": {"q_proj$": {"bits": 8, "group_size": 64}, "+:.*experts.*up.*": {"bits": 2}}},
        pack=by_name(
            {"q_proj": gptq(8, 64, less=0, ordered=True), "up_proj": gptq(2, 32, less=0, ordered=True)},
            gptq(4, 32, less=0, ordered=True),
        ),
        dtype="float16",
    ),
    "gptq of whole columns": Form(
        config=_gptq(4, -1, "gptq", ordered=True) | {"sym": True},
        pack=gptq(4, -1, less=1, ordered=False, symmetric=True),
        dtype="float16",
    ),
    "gptq without an order": Form(
        config=_gptq(8, 64, "gptq", ordered=False),
        pack=without(".g_idx", gptq(8, 64, less=1, ordered=False)),
        dtype="float16",
    ),
    "auto-round": Form(
        config=_AUTO | {"packing_format": "auto_round:auto_gptq", "extra_config": {"lm_head": {"bits": 16}}},
        pack=without(".g_idx", gptq(4, 32, less=1, ordered=False)),
        dtype="float16",
    ),
    "auto-round with zero points as they are": Form(
        config=_AUTO | {"packing_format": "auto_round", "extra_config": {".*down_proj.*": {"bits": 8}}},
        pack=without(
            ".g_idx",
            by_name({"down_proj": gptq(8, 32, less=0, ordered=False)}, gptq(4, 32, less=0, ordered=False)),
        ),
        dtype="float16",
    ),
    "auto-round for awq": Form(
        config=_AUTO | {"packing_format": "auto_round:auto_awq"}, pack=awq(32), dtype="float16"
    ),
    "mxfp8 of bytes": Form(
        config={"quant_method": "mxfp8", "scale_fmt": "ue8m0"},
        pack=fp8_block((1, 32), scale="U8", ending=".weight_scale_inv"),
    ),
}
# Forms of experts that are stacked in one tensor.
FUSED: Mapping[str, Form] = {
    **{
        name: replace(FORMS[name], pack=fused(FORMS[name].pack))
        for name in (
            "pack-quantized int4",
            "pack-quantized int4 channel",
            "pack-quantized int4 with zero points",
            "nvfp4-pack-quantized",
            "modelopt nvfp4",
            "mxfp4-pack-quantized",
        )
    },
    "fp8 blocks": FORMS["fp8 blocks"],
    "fp8 ragged blocks": FORMS["fp8 ragged blocks"],
    "fp8 scale per expert": Form(config=_FP8, pack=fp8_shared("expert", ending=".weight_scale_inv", scale="BF16")),
    "fp8 tensor": FORMS["fp8 tensor"],
    "fp8 channel": FORMS["fp8 channel"],
}
MXFP4 = Form(config={"quant_method": "mxfp4"}, pack=mxfp4_blocks)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A packed checkpoint on disk beside one that stores the same values unpacked."""

    packed: Path
    plain: Path
    values: Mapping[str, Floats]
    config: Mapping[str, Any]


def is_linear(name: str, value: Floats) -> bool:
    """Say whether a weight is one that quantizers take: a projection, no router, no embedding."""
    if value.ndim < 2 or "vision" in name or "conv" in name:
        return False
    return "_proj" in name or ".experts." in name


def is_expert(name: str, value: Floats) -> bool:
    return value.ndim > 2 and ".experts." in name


def write(name: str, form: Form, folder: Path, takes: Callable[[str, Floats], bool] = is_linear) -> Written:
    """Write reference `name` into folder/packed in a packed form, and with the same values into folder/plain."""
    made, rng = case(name), np.random.default_rng(17)
    packed: Stored = {}
    plain: dict[str, NDArray[Any]] = {}
    tables = made.record["forms"][made.form].get("integers", ())
    for key, value in tensors(made).items():
        if takes(key, value):
            weight = form.pack(key, value, rng)
            plain[key] = weight.values
            stem = key.removesuffix(".weight")
            packed |= {stem + ending: part for ending, part in weight.stored.items()}
        else:
            plain[key] = value.astype(np.int64) if key in tables else value
            packed[key] = _unpacked(plain[key])
    config = {key: value for key, value in made.config.items() if key not in {"dtype", "torch_dtype"}}
    config["dtype"] = form.dtype
    _write(folder / "packed", {**packed, **form.extra}, config | {"quantization_config": dict(form.config)})
    _write(folder / "plain", {key: _unpacked(value) for key, value in plain.items()}, config)
    return Written(packed=folder / "packed", plain=folder / "plain", values=plain, config=config)


def _unpacked(value: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    return ("I64" if value.dtype.kind == "i" else "F32"), value


def _write(folder: Path, stored: Stored, config: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors_of(stored))


def safetensors_of(stored: Stored) -> bytes:
    header, data = {}, b""
    for key, (dtype, array) in stored.items():
        start = len(data)
        data += np.ascontiguousarray(array).tobytes()
        header[key] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def read_packed(folder: Path) -> Stored:
    """Every stored tensor of a written checkpoint, as its bits."""
    raw = (folder / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    return dict(_entries(json.loads(raw[8:start]), raw[start:]))


def _entries(header: Mapping[str, Any], data: bytes) -> Iterator[tuple[str, tuple[str, NDArray[Any]]]]:
    widths = {"F32": "<u4", "I32": "<i4", "I64": "<i8", "F16": "<u2", "BF16": "<u2", "I8": "i1"}
    for key, entry in header.items():
        first, last = entry["data_offsets"]
        array = np.frombuffer(data[first:last], widths.get(entry["dtype"], "u1")).reshape(entry["shape"])
        yield key, (entry["dtype"], array)


def rewrite(folder: Path, stored: Stored, **config: Any) -> None:
    """Store other tensors in a written checkpoint, and change keys of its quantization block."""
    (folder / "model.safetensors").write_bytes(safetensors_of(stored))
    whole = json.loads((folder / "config.json").read_text())
    whole["quantization_config"] = {**whole["quantization_config"], **config}
    (folder / "config.json").write_text(json.dumps(whole))
