"""Make the records in `cases/` with torch and transformers; run by hand, the tests never do.

    python -m tests.reference.make [model_type ...]

It records nothing unless checkpoints.py regenerates every file that transformers saved, byte for byte.
"""

import copy
import dataclasses
import hashlib
import json
import math
import re
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors.numpy import load_file
from transformers import AutoConfig

from hubbot.checks.parity.transformers_twin import speaking_part
from tests.reference import checkpoints
from tests.reference.added_forms import ADDED_FORMS, TRANSPOSED, WEIGHTS, Record, added_form, transposed
from tests.reference.families import ROWS
from tests.reference.old_configs import hub_dialect
from tests.reference.packing import PACKINGS
from tests.reference.rows import Family, Model

SEED = 20250
TOKENS = 24
STEPS = 6

Arrays = dict[str, np.ndarray]

ROUTER = re.compile(r"(mlp\.gate|text_moe\.gate|router|router\.layer)\.weight$")
EMBEDDING = re.compile(r"embed_tokens|embeddings|\bwte\b")
NORM = re.compile(r"norm(_?\d|_f|\.\d)?\.weight$")
# Published bf16 checkpoints store these in float32.
KEPT_FLOAT32 = (
    "e_score_correction_bias",
    "expert_bias",
    "router_bias",
    "position_bias",
    *(f"_hc.{part}" for part in ("fn", "base", "scale")),
    *(f"hc_head.hc_{part}" for part in ("fn", "base", "scale")),
)


def main() -> None:
    """Record the families named on the command line, or all."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    if unknown := set(wanted) - {family.model_type for family in ROWS}:
        raise SystemExit(f"no row in tests/reference/families for {', '.join(sorted(unknown))}")
    for family in ROWS:
        if not wanted or family.model_type in wanted:
            record_family(family)


def record_family(family: Family) -> None:
    """Write one JSON record a model and the logits of them all."""
    folder = checkpoints.RECORDS / family.model_type
    folder.mkdir(parents=True, exist_ok=True)
    arrays: Arrays = {}
    for model in family.models:
        record = record_model(family, model, arrays)
        (folder / f"{model.name}.json").write_text(readable(record) + "\n", "utf-8")
        print(f"{family.model_type}/{model.name}: {', '.join(record['forms'])}")
    np.savez(folder / "logits.npz", **arrays)


def record_model(family: Family, model: Model, arrays: Arrays) -> Record:
    """Build the model, take its logits, save it with transformers in every form, and describe the files."""
    family = of_model(family, model)
    network = build(family, model.changes, model.omitted)
    record: Record = {
        "model_type": family.model_type,
        "model": model.name,
        "expected": "refuse" if "refuse" in {family.expected, model.expected} else "convert",
        "remarks": [*family.remarks, *model.remarks],
        "tolerance": model.tolerance,
        "seed": SEED,
        "ids": draw_ids(network.config.get_text_config().vocab_size),
        "parameters": describe_parameters(network, model),
        "layouts": {},
        "forms": {},
    }
    wanted = {layout_of(form) for form in model.forms}
    for layout in (name for name in ("orig", "v5", "saved") if name in wanted):
        record["layouts"][layout] = views_of(network, family, model, record, layout)
    if TRANSPOSED in wanted:
        record["layouts"][TRANSPOSED] = transposed(record["layouts"]["orig"], record["parameters"])
    fill(network, checkpoints.parameter_values(record))
    arrays[f"{model.name}.logits"] = logits = answer(network, record["ids"])
    refuse_ties(network, record, logits)
    if model.name == "base":
        refuse_idle_values(family, record, logits)
    if model.name == "base" or model.decodes:
        fed, answered = decode(network, record["ids"])
        arrays |= {f"{model.name}.decode_ids": fed, f"{model.name}.decode_logits": answered}
    for form in (form for form in model.forms if form not in ADDED_FORMS):
        stored = halved(network) if form == "bf16" else network
        record["forms"][form] = record_form(stored, family, model, record, form)
        if form == "bf16":
            arrays[f"{model.name}-bf16.logits"] = answer_rounded(network, stored, record)
    for form in (form for form in model.forms if form in ADDED_FORMS):
        record["forms"][form] = added_form(record, form)
        if form in PACKINGS:
            arrays[f"{model.name}-{form}.logits"] = answer_unpacked(network, record, form)
    return record


def of_model(family: Family, model: Model) -> Family:
    """The family's row with what one model says in place of it."""
    said = {"built_as": model.built_as, "names": model.names, "vendor": model.vendor}
    return dataclasses.replace(family, **{key: value for key, value in said.items() if value is not None})


def layout_of(form: str) -> str:
    """Only v5 stores the experts as transformers 5 holds them; transposed is what exporters wrote before."""
    if form in PACKINGS:
        return PACKINGS[form].layout
    return form if form in {"v5", "saved", TRANSPOSED} else "orig"


def views_of(network: Any, family: Family, model: Model, record: Record, layout: str) -> Record:
    """How the tensors of a layout are cut from the parameters."""
    if layout != "orig":
        return trace(network, record, original=layout == "saved")
    if model.layout is not None:
        return model.layout({name: spec["shape"] for name, spec in record["parameters"].items()})
    return named(trace(network, record, original=True), family)


def named(views: Record, family: Family) -> Record:
    """The views under the names of the Hub, without those that the Hub's checkpoints do not have."""
    made: Record = {}
    for name, view in views.items():
        hub = name
        for pattern, replacement in family.names:
            hub = re.sub(pattern, replacement, hub)
        if hub:
            made[hub] = view if view or hub == name else {"from": name}
    return dict(sorted(made.items()))


def build(family: Family, changes: Mapping[str, Any], omitted: Collection[str]) -> Any:
    """The in-memory model, float32, plain attention and experts."""
    values = {key: value for key, value in {**family.config, **changes}.items() if key not in omitted}
    config = AutoConfig.for_model(family.built_as or family.model_type, **copy.deepcopy(values))
    builder = getattr(transformers, family.auto_class)
    network = getattr(builder, "from_config" if family.auto_class.startswith("Auto") else "_from_config")(
        config, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    )
    return network.eval()


def stored_tensors(network: Any) -> dict[str, torch.Tensor]:
    """Parameters and persistent buffers, a tied tensor once."""
    named = dict(network.named_parameters()) | dict(network.named_buffers())
    return {name: named[name] for name in network.state_dict() if name in named}


def describe_parameters(network: Any, model: Model) -> Record:
    """Shape, mean and scale of every parameter."""
    tensors = stored_tensors(network)
    return {
        name: {"shape": list(tensor.shape), **role(name, tensor, tensors, model)}
        for name, tensor in sorted(tensors.items())
    } | {
        # A table of experts by token: as many different ones a row as it has places.
        name: {"shape": list(tensor.shape), "below": network.config.num_local_experts}
        for name, tensor in sorted(tensors.items())
        if not tensor.is_floating_point()
    }


def role(name: str, tensor: torch.Tensor, names: Collection[str], model: Model) -> dict[str, float]:
    """Norms around 1 (inexact in bf16), biases of both signs, routers without ties, logits not flat."""
    if NORM.search(name):
        return {"mean": 1.0, "scale": 0.1}
    if name.endswith("correction_bias"):
        mean, scale = model.router_bias
        return {"mean": mean, "scale": scale}
    if name.endswith("bias"):
        return {"mean": 0.0, "scale": 0.2}
    if EMBEDDING.search(name):
        tied = "lm_head.weight" not in names
        return {"mean": 0.0, "scale": 0.2 if tied else 1.0}
    gain = 2.0 if ROUTER.search(name) or name.startswith("lm_head") else 1.2
    return {"mean": 0.0, "scale": float(f"{gain / math.sqrt(tensor.shape[-1]):.4g}")}


def draw_ids(vocabulary: int) -> list[int]:
    """Fixed token ids, the same in every model of that vocabulary."""
    raw = np.random.PCG64(SEED).random_raw(TOKENS)
    return [int(value) % vocabulary for value in raw]


def fill(network: Any, values: Mapping[str, np.ndarray]) -> None:
    """Put the values into the model; every stored tensor must be among them."""
    tensors = stored_tensors(network)
    if tensors.keys() != values.keys():
        raise SystemExit(f"parameters differ: {sorted(tensors.keys() ^ values.keys())}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(values[name].copy()))


def trace(network: Any, record: Record, *, original: bool) -> Record:
    """Number every element, let transformers save the model, and read where each element went."""
    numbers: dict[str, np.ndarray] = {}
    first: dict[int, str] = {}
    position = 0
    for name, spec in record["parameters"].items():
        size = math.prod(spec["shape"])
        numbers[name] = np.arange(position, position + size, dtype=np.float32).reshape(spec["shape"])
        first[position] = name
        position += size
    if position > 2**24:
        raise SystemExit("too many elements to number in float32")
    fill(network, numbers)
    with tempfile.TemporaryDirectory() as folder:
        network.save_pretrained(folder, save_original_format=original)
        saved = load_file(Path(folder) / "model.safetensors")
    starts = np.array(list(first))
    views = {}
    for name, value in sorted(saved.items()):
        start = int(starts[np.searchsorted(starts, value.min(), side="right") - 1])
        parameter = first[start]
        whole = name == parameter and np.array_equal(value, numbers[name])
        views[name] = {} if whole else view_of(name, value.astype(np.int64), first)
    return views


def view_of(name: str, value: NDArray[np.int64], first: Mapping[int, str]) -> Record:
    """One parameter's view, or those of several that lie one below the other."""
    starts = np.array(list(first))
    rows = value.reshape(value.shape[0], -1)[:, 0]
    homes = np.searchsorted(starts, rows, side="right") - 1
    parts = []
    for low, high in runs(rows, homes):
        start = int(starts[homes[low]])
        parts.append({"from": first[start], **strided_view(name, value[low:high] - start)})
    if len(parts) == 1:
        return parts[0]
    return {"shape": list(value.shape), "parts": parts}


def runs(rows: NDArray[np.int64], homes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """The stretches of rows that lie in one parameter, each as far from the last as that from the one before."""
    low = 0
    for high in range(1, len(rows) + 1):
        ends = high == len(rows) or homes[high] != homes[low]
        if ends or (high > low + 1 and rows[high] - rows[high - 1] != rows[low + 1] - rows[low]):
            yield low, high
            low = high


def strided_view(name: str, numbers: np.ndarray) -> Record:
    """Describe the numbers as offset and strides (in elements) of one parameter, or stop."""
    offset = int(numbers.flat[0])
    strides = []
    for axis, length in enumerate(numbers.shape):
        neighbour = numbers.take(min(1, length - 1), axis=axis).flat[0]
        strides.append(int(neighbour) - offset)
    expected = np.full(numbers.shape, offset)
    for axis, step in enumerate(strides):
        steps = np.arange(numbers.shape[axis]) * step
        expected += steps.reshape([-1 if other == axis else 1 for other in range(numbers.ndim)])
    if not np.array_equal(expected, numbers):
        raise SystemExit(f"{name} is not a strided view of one parameter")
    return {"shape": list(numbers.shape), "offset": offset, "strides": strides}


def answer(network: Any, ids: list[int]) -> np.ndarray:
    """Logits of one sequence, float32 [tokens, vocab]."""
    with torch.no_grad():
        return speaking_part(network)(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()


def decode(network: Any, ids: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Greedy steps with the KV cache: the ids fed and the logits after each."""
    fed, steps = [], []
    network = speaking_part(network)
    with torch.no_grad():
        output = network(torch.tensor([ids]), use_cache=True)
        for _ in range(STEPS):
            fed.append(int(output.logits[0, -1].argmax()))
            output = network(torch.tensor([[fed[-1]]]), past_key_values=output.past_key_values, use_cache=True)
            steps.append(output.logits[0, -1].numpy())
    whole = answer(network, ids + fed)[len(ids) :]
    if relative(np.stack(steps), whole) > 1e-5:
        raise SystemExit("decoding with the cache differs from one pass")
    return np.array(fed, dtype=np.int64), np.stack(steps)


def relative(measured: np.ndarray, reference: np.ndarray) -> float:
    """Largest difference over the largest reference value."""
    return float(np.abs(measured - reference).max() / np.abs(reference).max())


def refuse_ties(network: Any, record: Record, logits: np.ndarray) -> None:
    """A router near a tie would flip under noise of one part in a million; no reference may depend on it."""
    values = checkpoints.parameter_values(record)
    noise = np.random.default_rng(0)
    for _ in range(3):
        shaken = {
            name: value
            if "below" in record["parameters"][name]
            else value * (1 + 1e-6 * noise.standard_normal(value.shape)).astype(np.float32)
            for name, value in values.items()
        }
        fill(network, shaken)
        if (error := relative(answer(network, record["ids"]), logits)) > 1e-4:
            raise SystemExit(f"{record['model_type']}/{record['model']}: a router is near a tie ({error:.1e})")
    fill(network, values)


def refuse_idle_values(family: Family, record: Record, logits: np.ndarray) -> None:
    """Each value the row calls decisive must change the logits when it is another."""
    for key, other in family.matters.items():
        network = build(family, {key: other}, ())
        fill(network, checkpoints.parameter_values(record))
        if (change := relative(answer(network, record["ids"]), logits)) < 1e-2:
            raise SystemExit(f"{family.model_type}: {key} hardly matters ({change:.1e})")


def record_form(network: Any, family: Family, model: Model, record: Record, form: str) -> Record:
    """Save with transformers, describe, and refuse unless the description gives the same bytes."""
    options: Record = {"save_original_format": form != "v5"}
    if form == "sharded":
        size = sum(math.prod(spec["shape"]) for spec in record["parameters"].values())
        options["max_shard_size"] = 4 * size // 3
    with tempfile.TemporaryDirectory() as name:
        network.save_pretrained(name, **options)
        config = json.loads((Path(name) / "config.json").read_text())
        if form == "hub":
            config = hub_dialect(network, family, config)
        if family.vendor is not None:
            config = family.vendor(config)
        if form == "hub" or family.built_as or family.vendor:
            config["model_type"] = family.model_type
            (Path(name) / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        saved = {path.name: path.read_bytes() for path in sorted(Path(name).iterdir())}
        shards = {path.name: sorted(load_names(path)) for path in sorted(Path(name).glob("model*.safetensors"))}
    saved.pop("generation_config.json", None)
    description: Record = {
        "layout": layout_of(form),
        "dtype": "BF16" if form == "bf16" else "F32",
        "float32": [],
        **checkpoints.tables_of(record, layout_of(form)),
        "reference": f"{model.name}-bf16" if form == "bf16" else model.name,
        "config": config,
        "files": {name: {} for name in saved},
    }
    if form == "bf16":
        names = record["layouts"]["orig"]
        description["float32"] = sorted(
            name for name, view in names.items() if view.get("from", name).endswith(KEPT_FLOAT32)
        )
    if form == "sharded":
        refuse_whole_layers(shards)
        for shard, names in shards.items():
            description["files"][shard]["tensors"] = names
    if form == TRANSPOSED or ((family.names or model.layout) and layout_of(form) == "orig"):
        saved |= {WEIGHTS: checkpoints.render(record | {"forms": {form: description}}, form)[WEIGHTS]}
    compare(record | {"forms": {form: description}}, form, saved)
    return description


def halved(network: Any) -> Any:
    """A copy with its weights rounded to bf16, all but what checkpoints keep in float32."""
    copied = copy.deepcopy(network).to(torch.bfloat16)
    exact = stored_tensors(network)
    for name, tensor in stored_tensors(copied).items():
        if name.endswith(KEPT_FLOAT32):
            tensor.data = exact[name].data.clone()
    return copied


def answer_rounded(network: Any, rounded: Any, record: Record) -> np.ndarray:
    """Float32 logits on the rounded weights; rotary frequencies must stay as float32 computed them."""
    fill(network, {name: value.detach().float().numpy() for name, value in stored_tensors(rounded).items()})
    logits = answer(network, record["ids"])
    fill(network, checkpoints.parameter_values(record))
    return logits


def answer_unpacked(network: Any, record: Record, form: str) -> np.ndarray:
    """Float32 logits on the values that the codes and scales of a packed form stand for."""
    values = checkpoints.parameter_values(record)
    views = record["layouts"][record["forms"][form]["layout"]]
    for name, value in checkpoints.layout_tensors(record, form).items():
        checkpoints.put(values, name, views[name], value)
    fill(network, values)
    logits = answer(network, record["ids"])
    fill(network, checkpoints.parameter_values(record))
    return logits


def load_names(path: Path) -> Iterator[str]:
    """Tensor names in a safetensors header."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return (name for name in header if name != "__metadata__")


def refuse_whole_layers(shards: Mapping[str, list[str]]) -> None:
    """The experts of at least one layer must lie in more than one shard."""
    homes: dict[str, set[str]] = {}
    for shard, names in shards.items():
        for name in names:
            if ".experts." in name:
                homes.setdefault(name.split(".experts.")[0], set()).add(shard)
    if max(len(shards) for shards in homes.values()) < 2:
        raise SystemExit("no layer's experts are spread over shards")


def compare(record: Record, form: str, saved: Mapping[str, bytes]) -> None:
    """Fill in the sha256 of each file, having seen that it is regenerated exactly."""
    rendered = checkpoints.render(record, form)
    if rendered.keys() != saved.keys():
        raise SystemExit(f"{form}: files {sorted(rendered)} are not {sorted(saved)}")
    for name, data in saved.items():
        if rendered[name] != data:
            raise SystemExit(f"{record['model_type']}/{record['model']}/{form}: {name} differs")
        record["forms"][form]["files"][name]["sha256"] = hashlib.sha256(data).hexdigest()


def readable(value: Any, indent: int = 0) -> str:
    """JSON with one line for whatever fits one: a tensor, a list of ids."""
    line = json.dumps(value, sort_keys=True)
    if len(line) <= 160 - indent or not isinstance(value, dict):
        return line
    pad = " " * (indent + 1)
    items = (f"{pad}{json.dumps(key)}: {readable(item, indent + 1)}" for key, item in value.items())
    return "{\n" + ",\n".join(items) + "\n" + " " * indent + "}"


if __name__ == "__main__":
    main()
