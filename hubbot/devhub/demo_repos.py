"""The demo Hub's repos: six checkpoints in layouts that are found on the Hub, made from the two demo models.

It knows what hubbot must do with each. It never trains or runs a model.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from hubbot.devhub.demo_models.weights import Tensor, halve, read_weights, widen, write_weights

if TYPE_CHECKING:
    from collections.abc import Callable

DEMO_MODELS: Final = Path(__file__).parent / "demo_models"
SIDE_FILES: Final = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
SHARDS: Final = 4
MISSING: Final = "model.layers.2.mlp.experts.5."
EXPERT: Final = re.compile(r"(model\.layers\.\d+\.mlp\.experts)\.(\d+)\.(gate|up|down)_proj\.weight")

Config: TypeAlias = dict[str, Any]
Tensors: TypeAlias = dict[str, Tensor]
Outcome: TypeAlias = Literal["published", "skipped", "parked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRepo:
    """One repo folder, and the outcome that hubbot must reach for it."""

    repo_id: str
    folder: Path
    expected: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRow:
    """How one demo repo is made: from which demo model, by which change, in how many files, with which card."""

    repo_id: str
    expected: Outcome
    model: str
    change: Callable[[Config, Tensors], tuple[Config, Tensors]]
    shards: int
    about: str


def write_demo_repos(folder: Path) -> tuple[DemoRepo, ...]:
    """Write every demo repo to folder/<repo_id>; the same bytes every time."""
    return tuple(_write(row, folder / row.repo_id) for row in DEMO_ROWS)


def _write(row: DemoRow, folder: Path) -> DemoRepo:
    folder.mkdir(parents=True, exist_ok=True)
    source = DEMO_MODELS / row.model
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config, tensors = row.change(config, read_weights(source / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for name in SIDE_FILES:
        (folder / name).write_bytes((source / name).read_bytes())
    (folder / "README.md").write_text(_card(row), encoding="utf-8")
    (folder / "LICENSE").write_text(LICENCE, encoding="utf-8")
    if row.shards == 1:
        write_weights(folder / "model.safetensors", tensors)
    else:
        _write_shards(folder, tensors, row.shards)
    return DemoRepo(repo_id=row.repo_id, folder=folder, expected=row.expected)


def _write_shards(folder: Path, tensors: Tensors, count: int) -> None:
    homes = {name: f"model-{_shard(name, count):05d}-of-{count:05d}.safetensors" for name in sorted(tensors)}
    for home in sorted(set(homes.values())):
        write_weights(folder / home, {name: tensors[name] for name in tensors if homes[name] == home})
    metadata = {
        "total_parameters": sum(tensor.size for tensor in tensors.values()),
        "total_size": sum(tensor.nbytes for tensor in tensors.values()),
    }
    index = json.dumps({"metadata": metadata, "weight_map": homes}, indent=2)
    (folder / "model.safetensors.index.json").write_text(index + "\n", encoding="utf-8")


def _shard(name: str, count: int) -> int:
    """The file of a tensor, from 1: the experts of a layer go round all files, the rest lies in the first."""
    found = EXPERT.fullmatch(name)
    return int(found[2]) % count + 1 if found else 1


def _as_float32(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    return config | {"dtype": "float32"}, {name: widen(tensor) for name, tensor in tensors.items()}


def _as_float16(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    return config | {"torch_dtype": "float16"}, {name: halve(tensor) for name, tensor in tensors.items()}


def _fused(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    """Stack the experts and lay gate rows over up rows, as transformers 5 does (save_original_format=False)."""
    kept = {name: tensor for name, tensor in tensors.items() if not EXPERT.fullmatch(name)}
    for place in sorted({found[1] for name in tensors if (found := EXPERT.fullmatch(name))}):
        names = [f"{place}.{expert}" for expert in range(config["num_local_experts"])]
        gate, up, down = (
            np.stack([tensors[f"{name}.{part}_proj.weight"] for name in names]) for part in ("gate", "up", "down")
        )
        kept[f"{place}.gate_up_proj"] = np.concatenate([gate, up], axis=1)
        kept[f"{place}.down_proj"] = down
    return config, kept


def _old_dialect(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    """Spell the config as transformers 4 did; the tensors stay."""
    old = dict(config)
    old["rope_theta"] = old.pop("rope_parameters")["rope_theta"]
    old["num_experts"] = old.pop("num_local_experts")
    old["torch_dtype"] = old.pop("dtype")
    return dict(sorted((old | {"rope_scaling": None, "transformers_version": "4.57.1"}).items())), tensors


def _dense(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    """Keep one expert of every layer and no router: what is left is a plain Qwen3."""
    alone = {name.replace(".experts.0.", "."): tensor for name, tensor in tensors.items() if ".experts.0." in name}
    kept = {name: tensor for name, tensor in tensors.items() if ".mlp." not in name}
    plain = {key: value for key, value in config.items() if key not in MOE_KEYS}
    plain |= {
        "architectures": ["Qwen3ForCausalLM"],
        "intermediate_size": config["moe_intermediate_size"],
        "layer_types": ["full_attention"] * config["num_hidden_layers"],
        "max_window_layers": config["num_hidden_layers"],
        "model_type": "qwen3",
    }
    return dict(sorted(plain.items())), kept | alone


def _broken(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    return config, {name: tensor for name, tensor in tensors.items() if not name.startswith(MISSING)}


def _card(row: DemoRow) -> str:
    name = row.repo_id.partition("/")[2]
    tags = ["text-generation", "stories", "tiny"] + (["moe"] if row.expected != "skipped" else [])
    listed = "\n".join(f"- {tag}" for tag in tags)
    return CARD.format(name=name, tags=listed, about=row.about)


MOE_KEYS: Final = frozenset(
    {"decoder_sparse_step", "mlp_only_layers", "moe_intermediate_size", "norm_topk_prob", "num_experts_per_tok"}
    | {"num_local_experts", "output_router_logits", "router_aux_loss_coef"}
)

DEMO_ROWS: Final = (
    DemoRow(
        repo_id="fables/Fox-8x-MoE-per-expert",
        expected="published",
        model="fox",
        change=_as_float32,
        shards=1,
        about="A Qwen3-MoE in float32, each expert stored on its own.",
    ),
    DemoRow(
        repo_id="fables/Fox-8x-MoE-fused",
        expected="published",
        model="fox",
        change=_fused,
        shards=1,
        about="A Qwen3-MoE in bfloat16, experts stacked and gate fused with up, as transformers 5 holds them.",
    ),
    DemoRow(
        repo_id="fables/Owl-8x-Mixtral",
        expected="published",
        model="owl",
        change=_as_float16,
        shards=1,
        about="A Mixtral in float16 with w1, w2 and w3 of each expert, and tied embeddings.",
    ),
    DemoRow(
        repo_id="fables/Fox-8x-MoE-sharded",
        expected="published",
        model="fox",
        change=_old_dialect,
        shards=SHARDS,
        about="A Qwen3-MoE in bfloat16 whose experts lie scattered over four files, with a transformers 4 config.",
    ),
    DemoRow(
        repo_id="fables/Hare-dense",
        expected="skipped",
        model="fox",
        change=_dense,
        shards=1,
        about="A dense Qwen3 without experts: one of Fox's in each layer stayed as its MLP. It says little.",
    ),
    DemoRow(
        repo_id="fables/Fox-8x-MoE-broken",
        expected="parked",
        model="fox",
        change=_broken,
        shards=1,
        about="A Qwen3-MoE that lost one expert on the way: layer 2 has no expert 5.",
    ),
)

CARD: Final = """---
license: apache-2.0
language:
- en
pipeline_tag: text-generation
library_name: transformers
tags:
{tags}
---

# {name}

{about}

A very small model that tells short stories about animals and their friends. It learned English from a story
grammar and knows some six hundred words. It belongs to hubbot's demo and is made to be converted.

Try: `Tell me a story about a fox.`
"""

LICENCE: Final = """Copyright 2026 the hubbot authors

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this model except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
"""
