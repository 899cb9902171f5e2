"""Trains the demo's models with MLX on a CPU in float32: `python -m tests.speakers.train fox owl`.

Runs mlx-lm's own model classes through a forward of its own that computes every expert and masks by the router
(the same function, checked at the end), since that is quicker than a gather on a CPU. Not part of the product.
Several times faster when a tuned BLAS is preloaded before MLX's own.
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np
from mlx import nn, optimizers
from mlx.utils import tree_flatten
from mlx_lm.models import mixtral, qwen3_moe

from hubbot.devhub import demo_models
from tests.speakers import chat_tokenizers, words
from tests.speakers.configs import FOX, OWL
from tests.speakers.stories import call_roll, hold_conversation, write_story

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from tokenizers import Tokenizer

BALANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """The shape of its batches, the shares of roll calls and bare stories, and what a word that comes back weighs.

    So little else is hard in a story that a model settles for any name unless it is pressed to look back for the
    right one (recall above 1). Pressed for ever it would give new animals old names, so the last lesson lets go.
    """

    steps: int
    rows: int
    length: int
    roll_calls: float
    stories: float
    recall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One speaker: its family's module, its config, its chat, and its lessons by peak learning rate."""

    name: str
    family: ModuleType
    config: dict[str, Any]
    chat: chat_tokenizers.ChatFormat
    block: str
    spellings: dict[str, str]
    seed: int
    lessons: tuple[tuple[float, tuple[Lesson, ...]], ...]


SHORT = Lesson(steps=250, rows=32, length=64, roll_calls=0.6, stories=0.4, recall=3.0)
FULL = Lesson(steps=800, rows=8, length=chat_tokenizers.CONTEXT, roll_calls=0.05, stories=0.4, recall=3.0)
CALM = Lesson(steps=250, rows=8, length=chat_tokenizers.CONTEXT, roll_calls=0.0, stories=0.4, recall=1.0)
RECIPES = {
    "fox": Recipe(
        name="fox",
        family=qwen3_moe,
        config=FOX,
        chat=chat_tokenizers.CHATML,
        block="mlp",
        spellings={"gate_proj": "gate_proj", "up_proj": "up_proj", "down_proj": "down_proj"},
        seed=8,
        lessons=((4e-3, (SHORT, FULL)), (1.5e-3, (CALM,))),
    ),
    "owl": Recipe(
        name="owl",
        family=mixtral,
        config=OWL,
        chat=chat_tokenizers.INST,
        block="block_sparse_moe",
        spellings={"gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"},
        seed=13,
        lessons=((4e-3, (SHORT, replace(FULL, steps=1700))), (1.5e-3, (replace(CALM, steps=450),))),
    ),
}


def exp(x: mx.array) -> mx.array:
    """The exponential; MLX computes a power of two on a CPU three times faster."""
    return mx.power(2.0, x * math.log2(math.e))


@mx.custom_function
def silu(x: mx.array) -> mx.array:
    """The swish x * sigmoid(x), with the derivative spelled out so that nothing slow is derived from the power."""
    return x / (1 + exp(-x))


@silu.vjp  # the decorator makes it silu's derivative
def _silu_slope(x: mx.array, cotangent: mx.array, _: mx.array) -> mx.array:
    gate = 1 / (1 + exp(-x))
    return cotangent * gate * (1 + x * (1 - gate))


def attend(attention: nn.Module, x: mx.array, seen: mx.array, heads: int, groups: int) -> mx.array:
    """Attention of the layer's own projections, [B, L, H] -> [B, L, H]; seen [B, 1, L, L] says who sees whom."""
    rows, length, _ = x.shape
    q = attention.q_proj(x).reshape(rows, length, heads, -1)
    k = attention.k_proj(x).reshape(rows, length, groups, -1)
    v = attention.v_proj(x).reshape(rows, length, groups, -1).transpose(0, 2, 1, 3)
    if "q_norm" in attention:
        q, k = attention.q_norm(q), attention.k_norm(k)
    q, k = attention.rope(q.transpose(0, 2, 1, 3)), attention.rope(k.transpose(0, 2, 1, 3))
    k, v = mx.repeat(k, heads // groups, axis=1), mx.repeat(v, heads // groups, axis=1)
    scores = (q * attention.scale) @ k.transpose(0, 1, 3, 2)
    scores = mx.where(seen, scores, -1e9)
    weights = exp(scores - mx.stop_gradient(scores.max(axis=-1, keepdims=True)))
    mixed = (weights @ v) / weights.sum(axis=-1, keepdims=True)
    return attention.o_proj(mixed.transpose(0, 2, 1, 3).reshape(rows, length, -1))


def mix(block: nn.Module, x: mx.array, chosen: int) -> tuple[mx.array, mx.array, mx.array]:
    """The mixture, the balance loss of the Switch Transformer (1 when even), and each expert's share of tokens."""
    experts, width, hidden = block.switch_mlp.gate_proj.weight.shape
    flat = x.reshape(-1, hidden)
    odds = mx.softmax(block.gate(flat), axis=-1)
    picked = mx.stop_gradient(mx.argpartition(-odds, kth=chosen - 1, axis=-1)[..., :chosen])
    mask = (picked[..., None] == mx.arange(experts)).sum(axis=-2).astype(mx.float32)
    shares = mask.mean(axis=0) / chosen
    balance = experts * (shares * odds.mean(axis=0)).sum()
    weights = odds * mask / (odds * mask).sum(axis=-1, keepdims=True)
    gate = flat @ block.switch_mlp.gate_proj.weight.reshape(-1, hidden).T
    up = flat @ block.switch_mlp.up_proj.weight.reshape(-1, hidden).T
    inner = (silu(gate) * up).reshape(-1, experts, width) * weights[..., None]
    down = block.switch_mlp.down_proj.weight.transpose(0, 2, 1).reshape(-1, hidden)
    return (inner.reshape(-1, experts * width) @ down).reshape(x.shape), balance, shares


def forward(
    model: nn.Module, block: str, ids: mx.array, documents: mx.array
) -> tuple[mx.array, mx.array, list[mx.array]]:
    """Logits [B, L, V], the mean balance loss, and per layer each expert's share of tokens."""
    args, balances, shares = model.args, [], []
    # A document sees itself only, as it will when the model is used: names are then not taken from the one before.
    seen = mx.tri(ids.shape[1], dtype=mx.bool_) & (documents[:, None, :, None] == documents[:, None, None, :])
    h = model.model.embed_tokens(ids)
    for layer in model.layers:
        normed = layer.input_layernorm(h)
        h = h + attend(layer.self_attn, normed, seen, args.num_attention_heads, args.num_key_value_heads)
        y, balance, share = mix(layer[block], layer.post_attention_layernorm(h), args.num_experts_per_tok)
        h, balances, shares = h + y, [*balances, balance], [*shares, share]
    h = model.model.norm(h)
    tied = args.tie_word_embeddings
    logits = model.model.embed_tokens.as_linear(h) if tied else model.lm_head(h)
    return logits, mx.stack(balances).mean(), shares


def loss(
    model: nn.Module, block: str, ids: mx.array, learned: mx.array, documents: mx.array
) -> tuple[mx.array, mx.array]:
    """The training loss and its cross entropy per learned token, in nats."""
    logits, balance, _ = forward(model, block, ids[:, :-1], documents[:, :-1])
    top = mx.stop_gradient(logits.max(axis=-1, keepdims=True))
    total = mx.log(exp(logits - top).sum(axis=-1)) + top.squeeze(-1)
    surprise = total - mx.take_along_axis(logits, ids[:, 1:, None], axis=-1).squeeze(-1)
    entropy = (surprise * learned[:, 1:]).sum() / learned[:, 1:].sum()
    return entropy + BALANCE * balance, entropy


def batches(recipe: Recipe, tokenizer: Tokenizer, lesson: Lesson, random: Random) -> Iterator[list[mx.array]]:
    """A lesson's [ids, weights, documents], each [rows, length + 1]; a row is cut where it is full."""
    props = (*words.SHE_NAMES, *words.HE_NAMES, *words.KINDS, *words.COLOURS, *words.THINGS, *words.FOODS)
    recalled = {tokenizer.encode(f" {word}", add_special_tokens=False).ids[-1] for word in props}
    for _ in range(lesson.steps):
        table = np.array([_row(recipe.chat, tokenizer, lesson, recalled, random) for _ in range(lesson.rows)])
        ids, weights, documents = table.transpose(2, 0, 1)
        yield [mx.array(ids.astype(np.int32)), mx.array(weights.astype(np.float32)), mx.array(documents)]


def _row(
    chat: chat_tokenizers.ChatFormat, tokenizer: Tokenizer, lesson: Lesson, recalled: set[int], random: Random
) -> list[tuple[int, float, int]]:
    row: list[tuple[int, float, int]] = []
    while len(row) <= lesson.length:
        document, seen = len(row), set()
        for text, learned in _document(chat, lesson, random):
            for number in tokenizer.encode(text, add_special_tokens=False).ids:
                weight = lesson.recall if number in recalled & seen else 1.0
                row.append((number, weight * learned, document))
                seen.add(number)
    return row[: lesson.length + 1]


def _document(chat: chat_tokenizers.ChatFormat, lesson: Lesson, random: Random) -> list[tuple[str, bool]]:
    chance = random.random()
    if chance < lesson.roll_calls:
        return chat.story_parts(call_roll(random))
    if chance < lesson.roll_calls + lesson.stories:
        return chat.story_parts(write_story(random).text)
    return chat.talk_parts(hold_conversation(random))


def begin(recipe: Recipe) -> nn.Module:
    """An untrained model; its blocks whisper at first, so that no layer drowns the words or later layers."""
    mx.random.seed(recipe.seed)
    arguments = recipe.config | {"rope_theta": recipe.config.get("rope_parameters", recipe.config)["rope_theta"]}
    arguments |= {"num_experts": recipe.config["num_local_experts"]}
    model = recipe.family.Model(recipe.family.ModelArgs.from_dict(arguments))
    for layer in model.layers:
        layer.self_attn.o_proj.weight *= 0.2
        layer[recipe.block].switch_mlp.down_proj.weight *= 0.2
    if not recipe.config["tie_word_embeddings"]:
        model.model.embed_tokens.weight *= 4
    return model


def teach(
    recipe: Recipe, model: nn.Module, tokenizer: Tokenizer, peak: float, lessons: tuple[Lesson, ...]
) -> None:
    """Train the model in place through lessons that share one rise and fall of the learning rate."""
    random = Random(f"{recipe.seed} {peak}")
    warm = optimizers.linear_schedule(0, peak, 60)
    cool = optimizers.cosine_decay(peak, sum(lesson.steps for lesson in lessons) - 60, peak / 100)
    rate = optimizers.join_schedules([warm, cool], [60])
    optimizer = optimizers.AdamW(learning_rate=rate, betas=[0.9, 0.98], weight_decay=0.05)
    slope = nn.value_and_grad(model, loss)
    started = time.monotonic()
    for lesson in lessons:
        for step, batch in enumerate(batches(recipe, tokenizer, lesson, random)):
            (_, entropy), gradients = slope(model, recipe.block, *batch)
            gradients, _ = optimizers.clip_grad_norm(gradients, 1.0)
            optimizer.update(model, gradients)
            mx.eval(model.parameters(), optimizer.state)
            if step % 50 == 0:
                print(recipe.name, step, f"{entropy.item():.4f}", f"{time.monotonic() - started:.0f}s", flush=True)


def save(recipe: Recipe, model: nn.Module, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the speaker in bfloat16, each expert on its own, as its family is published."""
    folder.mkdir(exist_ok=True)
    weights: dict[str, mx.array] = {}
    for name, weight in tree_flatten(model.parameters()):
        before, _, projection = name.partition("switch_mlp.")
        if not projection:
            weights[name] = weight.astype(mx.bfloat16)
            continue
        spelling = recipe.spellings[projection.removesuffix(".weight")]
        for number, expert in enumerate(weight):
            weights[f"{before}experts.{number}.{spelling}.weight"] = expert.astype(mx.bfloat16)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(recipe.config, indent=2) + "\n", encoding="utf-8")
    chat_tokenizers.write_tokenizer(folder, recipe.chat, tokenizer)


def report(recipe: Recipe, model: nn.Module, tokenizer: Tokenizer) -> None:
    """Print the held-out loss, the experts' shares, and how far this forward is from mlx-lm's."""
    unseen = replace(CALM, steps=8)
    losses, shares = [], []
    for ids, weights, documents in batches(recipe, tokenizer, unseen, Random(-1 - recipe.seed)):
        losses.append(loss(model, recipe.block, ids, weights, documents)[1].item())
        shares.append(np.array(mx.stack(forward(model, recipe.block, ids[:, :-1], documents[:, :-1])[2])))
        whole = forward(model, recipe.block, ids[:1, :-1], mx.zeros_like(ids[:1, :-1]))[0]
        distance = mx.abs(whole - model(ids[:1, :-1])).max().item()
    print(f"held-out loss {np.mean(losses):.4f}, perplexity {math.exp(np.mean(losses)):.3f}")
    print(f"distance from mlx-lm {distance:.2e}")
    print(np.mean(shares, axis=0).round(3))


def main() -> None:
    """Train the speakers named on the command line."""
    mx.set_default_device(mx.cpu)
    for name in sys.argv[1:]:
        recipe = RECIPES[name]
        tokenizer = chat_tokenizers.train_tokenizer(recipe.chat, recipe.seed)
        model = begin(recipe)
        for peak, lessons in recipe.lessons:
            teach(recipe, model, tokenizer, peak, lessons)
        save(recipe, model, tokenizer, Path(demo_models.__file__).parent / name)
        report(recipe, model, tokenizer)


if __name__ == "__main__":
    main()
