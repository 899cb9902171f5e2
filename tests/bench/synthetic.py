"""Synthetic checkpoints of the shape of Qwen3-30B-A3B, gigabytes of plausible weights in seconds.

128 experts, hidden 2048, expert width 768, one tensor per expert and projection in bfloat16, tied embeddings.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hubbot.devhub.exhibits import SIDE_FILES, SPEAKERS

HIDDEN, WIDTH, EXPERTS, TOP_K = 2048, 768, 128, 8
HEADS, KV_HEADS, HEAD_DIM, VOCABULARY = 32, 4, 128, 151_936
SHARD_BYTES = 2_000_000_000
BLOCK = 1 << 24
SCALE = 0.02
Tensor = tuple[str, tuple[int, ...]]


def config(layers: int) -> dict[str, Any]:
    """Return config.json in the dialect that stock mlx-lm reads."""
    return {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": HIDDEN,
        "num_hidden_layers": layers, "intermediate_size": 6144, "moe_intermediate_size": WIDTH,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM,
        "num_experts": EXPERTS, "num_experts_per_tok": TOP_K, "norm_topk_prob": True, "decoder_sparse_step": 1,
        "mlp_only_layers": [], "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "vocab_size": VOCABULARY,
        "tie_word_embeddings": True, "max_position_embeddings": 40960, "torch_dtype": "bfloat16",
        "hidden_act": "silu", "attention_bias": False, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip


def tensors(layers: int) -> Iterator[Tensor]:
    """Yield (name, shape) in the order in which they are written."""
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    yield "model.norm.weight", (HIDDEN,)
    for layer in range(layers):
        at = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{at}.{norm}.weight", (HIDDEN,)
        for norm in ("q_norm", "k_norm"):
            yield f"{at}.self_attn.{norm}.weight", (HEAD_DIM,)
        yield f"{at}.self_attn.q_proj.weight", (HEADS * HEAD_DIM, HIDDEN)
        yield f"{at}.self_attn.k_proj.weight", (KV_HEADS * HEAD_DIM, HIDDEN)
        yield f"{at}.self_attn.v_proj.weight", (KV_HEADS * HEAD_DIM, HIDDEN)
        yield f"{at}.self_attn.o_proj.weight", (HIDDEN, HEADS * HEAD_DIM)
        yield f"{at}.mlp.gate.weight", (EXPERTS, HIDDEN)
        for expert in range(EXPERTS):
            yield f"{at}.mlp.experts.{expert}.gate_proj.weight", (WIDTH, HIDDEN)
            yield f"{at}.mlp.experts.{expert}.up_proj.weight", (WIDTH, HIDDEN)
            yield f"{at}.mlp.experts.{expert}.down_proj.weight", (HIDDEN, WIDTH)


def write(folder: Path, layers: int) -> int:
    """Write the checkpoint unless it is there, and return the bytes of its tensors."""
    mark = folder / "complete"
    if not mark.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config(layers), indent=2), encoding="utf-8")
        for name in SIDE_FILES:
            shutil.copyfile(SPEAKERS / "fox" / name, folder / name)
        mark.write_text(str(_write_shards(folder, layers)), encoding="utf-8")
    return int(mark.read_text(encoding="utf-8"))


def _write_shards(folder: Path, layers: int) -> int:
    groups: list[list[Tensor]] = [[]]
    size = 0
    for tensor in tensors(layers):
        nbytes = _nbytes(tensor)
        if size + nbytes > SHARD_BYTES and groups[-1]:
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += nbytes
    noise = _noise()
    weight_map = {}
    for number, group in enumerate(groups, start=1):
        name = f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        _write_shard(folder / name, group, noise)
        weight_map.update({tensor: name for tensor, _ in group})
    total = sum(_nbytes(tensor) for group in groups for tensor in group)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return total


def _write_shard(path: Path, group: list[Tensor], noise: npt.NDArray[np.uint16]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for tensor in group:
        end = position + _nbytes(tensor)
        header[tensor[0]] = {"dtype": "BF16", "shape": list(tensor[1]), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in group:
            _write_values(file, name, int(np.prod(shape)), noise)


def _write_values(file: Any, name: str, count: int, noise: npt.NDArray[np.uint16]) -> None:
    if "norm" in name:
        file.write(np.full(count, 0x3F80, np.uint16).tobytes())  # 1.0 in bfloat16
        return
    # Every tensor starts at another place of the same noise, so that no two experts are alike.
    start = sum(name.encode()) * 7919 * len(name) % BLOCK
    while count:
        piece = noise[start : start + count]
        file.write(piece.tobytes())
        count -= len(piece)
        start = 0


def _noise() -> npt.NDArray[np.uint16]:
    values = np.random.default_rng(30).standard_normal(BLOCK).astype(np.float32) * np.float32(SCALE)
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def _nbytes(tensor: Tensor) -> int:
    return int(np.prod(tensor[1])) * 2
