"""Reference checkpoints written, converted and taken apart again: what the tests of the conversion share.

Its reader and writer of safetensors are its own: a dozen lines over json and numpy.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model
from numpy.typing import NDArray

from hubbot.artifacts import Report
from hubbot.catalogue.families import BY_MODEL_TYPE, Family, family_for
from hubbot.checkpoints import Checkpoint
from hubbot.checks.referee import judge
from hubbot.checks.tracer.gate import Tracer
from hubbot.conversion.convert_twin import convert_twin
from hubbot.folders import Folder
from hubbot.plans import Layout, Plan
from hubbot.steps.classify import classify
from hubbot.steps.convert import Bounds, convert
from hubbot.steps.inspect import inspect
from hubbot.steps.plan import plan
from tests.reference.checkpoints import Case, Floats, case, cases, write

# An artifact's own model file must not be compiled into the folder that other tests judge.
sys.dont_write_bytecode = True


def row_of(config: Mapping[str, Any], names: Collection[str] = ()) -> Family:
    """The family row that holds for a config and the names of its tensors."""
    family = family_for(config, names)
    assert family is not None
    return family


CONVERTED = tuple(BY_MODEL_TYPE)
CONVERTIBLE = tuple(made for made in cases() if made.model_type in CONVERTED and made.expected == "convert")
# Of these the artifact runs on mlx-lm's own class, of the others on a model file of hubbot's own.
STOCK_CONVERTIBLE = tuple(made for made in CONVERTIBLE if row_of(made.config).extension is None)
REFUSED = tuple(made for made in cases() if made not in CONVERTIBLE)
# numpy types that carry the bits of a safetensors dtype.
BITS: Mapping[str, str] = {
    "F32": "<u4", "F16": "<u2", "BF16": "<u2", "U32": "<u4", "I32": "<u4", "U8": "u1", "I8": "u1", "F8_E4M3": "u1",
    "F8_E8M0": "u1", "I64": "<u8",
}  # fmt: skip
MLX_DTYPES = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}

# A source's twin is converted once, however many of its artifacts are judged.
TRACER = Tracer(convert_twin)

SOURCES_KEPT = 12

Stored = dict[str, tuple[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A checkpoint folder as the first two steps see it."""

    folder: Path
    checkpoint: Checkpoint
    layout: Layout


class Workshop:
    """Converts each reference once while it is in use; what it hands out is shared and must not be changed.

    The sources used last stay, with what was made of them: all references in all variants are gigabytes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sources: dict[str, Source] = {}

    def source(self, name: str) -> Source:
        found = self._sources.pop(name, None)
        if found is None:
            folder = self._root / name.replace("/", "-") / "source"
            self.write(name, folder)
            found = look(folder)
        self._sources[name] = found
        if len(self._sources) > SOURCES_KEPT:
            longest_unused = self._sources.pop(next(iter(self._sources)))
            shutil.rmtree(longest_unused.folder.parent)
        return found

    def write(self, name: str, folder: Path) -> None:
        write(case(name), folder)

    def artifact(self, name: str, variant: str) -> Path:
        source = self.source(name)
        out = source.folder.parent / "out"
        if not (out / variant).is_dir():
            converted(source, out, variant)
        return out / variant

    def copy(self, name: str, variant: str, folder: Path) -> Path:
        shutil.copytree(self.artifact(name, variant), folder)
        return folder

    def report(self, name: str, folder: Path) -> Report:
        return judged(self.source(name), folder)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    root = tmp_path_factory.mktemp("workshop")
    yield Workshop(root)
    shutil.rmtree(root)


def look(folder: Path) -> Source:
    checkpoint = inspect(Folder(folder))
    return Source(folder=folder, checkpoint=checkpoint, layout=classify(checkpoint))


def planned(source: Source, *variants: str) -> Plan:
    return plan(source.checkpoint, source.layout, variants, working_bytes=1 << 20)


def source_of(made: str, folder: Path) -> Source:
    """A reference written below `folder` and classified."""
    return look(write(case(made), folder / "source"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def converted(
    source: Source, out: Path, *variants: str, working_bytes: int = 1 << 18, shard_bytes: int = 1 << 30
) -> dict[str, Path]:
    made = convert(
        source.checkpoint,
        planned(source, *variants),
        source=source.folder,
        out=out,
        bounds=Bounds(working_bytes=working_bytes, shard_bytes=shard_bytes),
        progress=quietly,
    )
    return {artifact.variant: Path(artifact.path) for artifact in made}


def judged(source: Source, folder: Path) -> Report:
    return judge(source.checkpoint, source.folder, folder, progress=quietly, tracer=TRACER)


def quietly(_done: int, _total: int, _name: str) -> None:
    pass


def read_stored(path: Path) -> Stored:
    """Every tensor of one safetensors file as (dtype, its bits)."""
    data = path.read_bytes()
    base = 8 + int.from_bytes(data[:8], "little")
    entries = json.loads(data[8:base])
    entries.pop("__metadata__", None)
    stored: Stored = {}
    for name, entry in entries.items():
        start, stop = (base + offset for offset in entry["data_offsets"])
        bits = np.frombuffer(data[start:stop], BITS[entry["dtype"]]).reshape(entry["shape"])
        stored[name] = (entry["dtype"], bits.copy())
    return stored


def read_folder(folder: Path) -> Stored:
    stored: Stored = {}
    for path in sorted(folder.glob("*.safetensors")):
        stored |= read_stored(path)
    return stored


def safetensors(stored: Stored) -> bytes:
    """The bytes of a safetensors file."""
    header: dict[str, Any] = {}
    position = 0
    for name, (dtype, bits) in stored.items():
        offsets = [position, position + bits.nbytes]
        header[name] = {"dtype": dtype, "shape": list(bits.shape), "data_offsets": offsets}
        position += bits.nbytes
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(bits.tobytes() for _, bits in stored.values())


def rewrite(folder: Path, stored: Stored) -> None:
    """Store these tensors as the only shard of an artifact, with an index and a mark that agree with them."""
    for path in folder.glob("*.safetensors"):
        path.unlink()
    (folder / "model.safetensors").write_bytes(safetensors(stored))
    index = {"metadata": {}, "weight_map": dict.fromkeys(stored, "model.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    rehash(folder)


def rehash(folder: Path) -> None:
    """Record every file's present sha256 in hubbot.json, so that hashes alone do not give a change away."""
    edit_json(folder / "hubbot.json", files=[_listed(folder, p) for p in sorted(folder.rglob("*")) if p.is_file()])


def _listed(folder: Path, path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {
        "path": path.relative_to(folder).as_posix(),
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def edit_json(path: Path, *without: str, **values: Any) -> None:
    content = json.loads(path.read_text("utf-8"))
    if "files" in values:
        values["files"] = [file for file in values["files"] if file["path"] != "hubbot.json"]
    path.write_text(json.dumps({key: value for key, value in (content | values).items() if key not in without}))


def floats(stored: tuple[str, NDArray[Any]]) -> Floats:
    """The float32 values of a plain stored tensor."""
    dtype, bits = stored
    if dtype == "BF16":
        return (bits.astype(np.uint32) << 16).view(np.float32)
    kind = np.float32 if dtype == "F32" else np.float16
    return bits.view(kind).astype(np.float32)


def to_mlx(stored: tuple[str, NDArray[Any]]) -> mx.array:
    dtype, bits = stored
    array = mx.array(bits)
    return array.view(MLX_DTYPES[dtype]) if dtype in MLX_DTYPES else array


def from_mlx(array: mx.array) -> tuple[str, NDArray[Any]]:
    names = {kind: name for name, kind in MLX_DTYPES.items()} | {mx.uint32: "U32", mx.uint8: "U8"}
    name = names[array.dtype]
    if name in {"F16", "BF16"}:
        return name, np.array(array.view(mx.uint16))
    return name, np.array(array.view(mx.uint32) if name == "F32" else array)


def mx_quantize(array: mx.array, **settings: Any) -> list[mx.array]:
    """Weight, scales and (affine only) biases of MLX's CPU kernels; mlx's own stubs promise always three."""
    with mx.stream(mx.cpu):
        made: Any = mx.quantize(array, **settings)
    return list(made)


def mx_dequantize(parts: list[mx.array], **settings: Any) -> Floats:
    """The float32 weights of `mx_quantize`'s parts, with scales and biases widened first."""
    weight, *others = parts
    wide = [part if part.dtype == mx.uint8 else part.astype(mx.float32) for part in others]
    restore: Any = mx.dequantize
    return np.array(restore(weight, *wide, dtype=mx.float32, **settings))


def stock_model(folder: Path) -> Any:
    """The model that stock mlx-lm loads strictly, widened: gather_mm on a CPU computes in float32 only."""
    config = json.loads((folder / "config.json").read_text())
    with mx.stream(mx.cpu):
        # Only hubbot's own model files ask for trust, which the tests of the referee see to.
        model, _ = load_model(folder, strict=True, trust_remote_code="model_file" in config)
    if "quantization" not in config:
        model.set_dtype(mx.float32)
    return model


def answer(model: Any, ids: NDArray[np.int64], cache: Any = None) -> Floats:
    with mx.stream(mx.cpu):
        return np.array(model(mx.array(ids)[None], cache=cache)[0].astype(mx.float32))


def decoded(model: Any, made: Case) -> tuple[Floats, Floats | None]:
    """The logits of the prompt, and those of the recorded decode steps with the cache."""
    cache = make_prompt_cache(model)
    prompt = answer(model, made.ids, cache)
    if made.decode_ids is None:
        return prompt, None
    steps = [answer(model, made.decode_ids[i : i + 1], cache)[0] for i in range(len(made.decode_ids))]
    return prompt, np.stack(steps)


def relative(measured: Floats, reference: Floats) -> float:
    return float(np.abs(measured - reference).max() / np.abs(reference).max())


def adversarial(width: int) -> Iterator[tuple[str, Floats]]:
    """Groups [n, width] of kinds that quantizers have stumbled over."""
    generator = np.random.default_rng(11)
    normal = generator.normal(0, 1, (200, width))
    yield "normal", normal.astype(np.float32)
    yield "weights", (normal * 0.02).astype(np.float32)
    yield "uniform", generator.uniform(-1, 1, (200, width)).astype(np.float32)
    yield "heavy tails", np.clip(generator.standard_cauchy((200, width)), -1e3, 1e3).astype(np.float32)
    yield "one outlier", np.where(np.arange(width) == 3, normal * 1000, normal * 0.01).astype(np.float32)
    yield "constant", np.repeat(generator.normal(0, 1, (200, 1)), width, axis=1).astype(np.float32)
    yield "zeros", np.zeros((4, width), np.float32)
    yield "one number among zeros", np.where(np.arange(width) == 5, normal, 0).astype(np.float32)
    yield "all positive, far from zero", (100 + normal).astype(np.float32)
    yield "all negative, far from zero", (-100 + normal * 0.1).astype(np.float32)
    yield "positive from zero", np.abs(normal).astype(np.float32)
    yield "two values", np.where(normal > 0, 0.7, -0.1).astype(np.float32)
    yield "tiny", (normal * 1e-7).astype(np.float32)
    yield "tinier", (normal * 1e-12).astype(np.float32)
    yield "huge", (normal * 1e4).astype(np.float32)
    yield "subnormal", (normal * 1e-40).astype(np.float32)
    yield "powers of two", np.exp2(generator.integers(-20, 10, (200, width))).astype(np.float32)
    yield "every magnitude", (normal * np.exp2(generator.integers(-12, 8, (200, 1)))).astype(np.float32)
