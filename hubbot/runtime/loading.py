"""mlx-lm as hubbot's users run it: build a model's skeleton, load strictly, dequantize, generate.

It knows nothing of how artifacts are made; the referee uses it and never the engine.
"""

import importlib
import inspect
import json
import platform
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm
import numpy as np
import numpy.typing as npt
from mlx.utils import tree_flatten
from mlx_lm.models.switch_layers import SwitchLinear
from mlx_lm.utils import MODEL_ARCHITECTURE_REMAPPING, MODEL_REMAPPING, load_model, load_tokenizer

import hubbot
from hubbot.catalogue import extensions
from hubbot.errors import ConfigUnresolved, NoRuntime, StructureMismatch, some_of
from hubbot.files.digests import sha256_of
from hubbot.runtime.several_hosts import part


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of an mlx-lm model before any weight is loaded.

    `predicate` is the answer of the model's own quant_predicate for its module (None: the class has none);
    `takes_global_scale` says whether the module can hold nvfp4's tensor scale, `is_table` that it holds integers.
    """

    name: str
    shape: tuple[int, ...]
    quantizable: bool
    predicate: bool | Mapping[str, int] | None
    takes_global_scale: bool
    is_table: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model that stock mlx-lm loaded strictly, with its tokenizer."""

    model: Any
    tokenizer: Any
    config: Mapping[str, Any]
    upcast: bool


def versions() -> dict[str, str]:
    """Return the versions that an artifact is a function of."""
    return {"hubbot": hubbot.__version__, "mlx": version("mlx"), "mlx-lm": version("mlx-lm")}


def describe() -> dict[str, str]:
    """Return the kind and name of the device and the system, for a record of measurements."""
    on_cpu = mx.default_device() == mx.cpu
    name = platform.machine() if on_cpu else str(mx.device_info().get("device_name", "GPU"))
    return {"device": "CPU" if on_cpu else "GPU", "name": name, "system": platform.system()}


@contextmanager
def without_compiler() -> Iterator[None]:
    """Let MLX run no C++ compiler until the end of the block, as it does on a CPU for every fused function.

    It takes a second for each, in every process that has a temporary folder of its own; a GPU is left alone.
    """
    on_cpu = mx.default_device() == mx.cpu
    if on_cpu:
        mx.disable_compile()
    try:
        yield
    finally:
        if on_cpu:
            mx.enable_compile()


def builds() -> tuple[str, ...]:
    """Return the installed builds of MLX with their versions; a Mac has none beside mlx itself."""
    found = []
    for name in ("mlx-cpu", "mlx-cuda-12", "mlx-cuda-13"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return tuple(found)


def skeleton(config: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """Return every parameter of the model that `config` describes, without evaluating one array.

    Raises NoRuntime where mlx-lm has no such class, ConfigUnresolved where the class rejects the config.
    """
    model = build(config)
    modules = dict(model.named_modules())
    predicate = getattr(model, "quant_predicate", None)
    found = []
    for name, array in tree_flatten(model.parameters()):
        path, _, leaf = name.rpartition(".")
        module = modules.get(path)
        quantizable = leaf == "weight" and hasattr(module, "to_quantized")
        found.append(
            Parameter(
                name=name,
                shape=tuple(array.shape),
                quantizable=quantizable,
                predicate=predicate(path, module) if predicate and quantizable else None,
                takes_global_scale=quantizable and _takes_global_scale(module),
                is_table=mx.issubdtype(array.dtype, mx.integer),
            )
        )
    return tuple(found)


def effective_args(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return every ModelArgs field after the class's defaults and __post_init__.

    Raises NoRuntime where mlx-lm has no such class.
    """
    args = _classes(config).ModelArgs.from_dict(untagged(config))
    return {field.name: getattr(args, field.name) for field in fields(args)}


def effective_text_args(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return every field of the text decoder's arguments as the class "module.Class" sees text_config."""
    module, _, kind = name.partition(".")
    made = getattr(importlib.import_module(f"mlx_lm.models.{module}"), kind)
    args = made.from_dict(untagged(config.get("text_config") or {}))
    return {field.name: getattr(args, field.name) for field in fields(args)}


def own_file(folder: Path) -> str | None:
    """Return the model file that the config of `folder` names if it is hubbot's own byte for byte, else None."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        name = config.get("model_file") if isinstance(config, dict) else None
        own = name in extensions.names() and extensions.is_own(name, sha256_of(folder / str(name)))
    except (OSError, ValueError, TypeError):
        return None
    return str(name) if own else None


def _stock_load(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return model and config as stock mlx-lm loads them, strictly and lazily.

    In place of a file of the folder that is hubbot's own, the same file of this installation is run: Python
    would prefer a compiled __pycache__ beside it, which nobody has looked at. Any other stock mlx-lm refuses.
    """
    name = own_file(folder)
    if name is None:
        model, config = load_model(folder, lazy=True, strict=True)
        return model, config
    module = _own_classes(name)
    model, config = load_model(
        folder,
        lazy=True,
        strict=True,
        model_config={"model_file": None},
        get_model_classes=lambda config: (module.Model, module.ModelArgs),  # noqa: ARG005 - mlx-lm's keyword
    )
    return model, {**config, "model_file": name}


def load(folder: Path) -> Any:
    """Return the model that stock mlx-lm loads strictly and lazily; raises StructureMismatch where it refuses."""
    try:
        model, _ = _stock_load(folder)
    except (ValueError, KeyError, RuntimeError, FileNotFoundError, TypeError) as error:
        reason, names = refusal(error)
        raise StructureMismatch(
            f"stock mlx_lm.load refuses it: {reason}", where=str(folder), names={"parameters": names}
        ) from error
    return model


def refusal(error: Exception) -> tuple[str, list[str]]:
    """Return what a loader's error says in one line, and all parameters that it lists.

    A strict load names what is missing or unknown in lines of their own below "Missing 6 parameters:".
    """
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if not lines:
        return type(error).__name__, []
    head = f"it looks for {lines[0][:280]} in vain" if isinstance(error, KeyError) else lines[0][:300]
    if not head.endswith(":"):
        return head, []
    names = [line.rstrip(",.") for line in lines[1:]]
    return f"{head} {some_of([name[:200] for name in names])}", names


def load_and_resanitize(folder: Path, beside: Collection[str] = ()) -> list[str]:
    """Load strictly and return the stored tensors that the class's own sanitize would change, add or drop.

    Those of `beside`, which another runtime reads, it must drop.
    """
    model = load(folder)
    if not hasattr(model, "sanitize"):
        return []
    stored: dict[str, Any] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        stored.update(mx.load(str(path)))  # type: ignore[arg-type]
    again = model.sanitize(dict(stored))
    changed = sorted((set(stored) - set(beside)) ^ set(again))
    changed += [name for name, array in stored.items() if name in again and not _same(array, again[name])]
    return changed


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    return (
        one.shape == other.shape and one.dtype == other.dtype and bool(mx.array_equal(one, other, equal_nan=True))
    )


def load_to_speak(folder: Path, group: Any = None) -> Loaded:
    """Return model and tokenizer ready to generate, of the model the part that a process of `group` computes.

    A CPU's gather_mm computes only float32, so there a model with unquantized 16-bit experts is upcast in
    memory, whatever else of it is quantized. So is one with bfloat16, whose products MLX's CPU computes five times
    as slowly as those of float32; the range of both is the same, so no overflow is hidden, as it would be of
    float16. `upcast` records it; codes and stored bytes stay as they are.
    """
    model, config = _stock_load(folder)
    upcast = mx.default_device() == mx.cpu and (
        not config.get("quantization") or _has_bfloat16(model) or _has_16_bit_experts(model)
    )
    if upcast:
        model.set_dtype(mx.float32)
    if group is not None:
        part(model, group)
    mx.eval(model.parameters())
    tokenizer = load_tokenizer(folder, eos_token_ids=config.get("eos_token_id"))
    return Loaded(model=model, tokenizer=tokenizer, config=config, upcast=upcast)


def _has_bfloat16(model: Any) -> bool:
    return any(array.dtype == mx.bfloat16 for _, array in tree_flatten(model.parameters()))


def _has_16_bit_experts(model: Any) -> bool:
    switches = (module for module in model.modules() if isinstance(module, SwitchLinear))
    return any(switch.weight.dtype != mx.float32 for switch in switches)


def load_as_a_user(folder: Path) -> None:
    """Load model (lazily) and tokenizer as `mlx_lm.load(folder)` does, or raise StructureMismatch saying why not.

    Of a folder with hubbot's own model file the installed copy of that file is run, never the folder's.
    """
    # Unless told not to, transformers asks on the terminal whether it may run a repo's code.
    alone = {"trust_remote_code": False}
    try:
        with warnings.catch_warnings(action="ignore"):  # a warning keeps no user from loading
            if own_file(folder) is None:
                mlx_lm.load(str(folder), tokenizer_config=alone, lazy=True)
            else:
                _, config = _stock_load(folder)
                load_tokenizer(folder, alone, eos_token_ids=config.get("eos_token_id"))
    except Exception as error:  # a repo's files can break loaders in any way
        raise StructureMismatch(f"mlx_lm.load refuses it: {_told(error)}", where=str(folder)) from error


def load_transformers_config(folder: Path) -> str | None:
    """Return the class that transformers' AutoConfig makes of the config in `folder`, None where it knows none.

    Raises StructureMismatch where it does not take the config.
    """
    from transformers import CONFIG_MAPPING, AutoConfig  # noqa: PLC0415 - takes seconds where nothing else needs it

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.get("model_type") not in CONFIG_MAPPING:
            return None
        with warnings.catch_warnings(action="ignore"):
            return type(AutoConfig.from_pretrained(folder, trust_remote_code=False)).__name__
    except Exception as error:  # strict validators raise what they like
        raise StructureMismatch(f"AutoConfig refuses it: {_told(error)}", where=str(folder)) from error


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def parameters(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, array) of a loaded model."""
    yield from tree_flatten(model.parameters())


def logits(model: Any, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return float32 logits [tokens, vocabulary] for one sequence of token ids int64 [tokens]."""
    out = model(mx.array(ids)[None])[0].astype(mx.float32)
    mx.eval(out)
    return np.array(out)


def dequantize(
    parts: Mapping[str, npt.NDArray[Any]], *, mode: str, bits: int, group_size: int, scale_dtype: str
) -> npt.NDArray[np.float32]:
    """Return float32 weights [..., in] from stored `parts`: weight, scales, biases, global_scale.

    "weight" is uint32 [..., in * bits / 32], "scales" and "biases" are bits [..., in / group_size] of
    `scale_dtype` (uint8 outside affine), "global_scale" is float32 [experts]. MLX computes it in float32.
    """
    weight = mx.array(parts["weight"])
    scales = mx.array(parts["scales"])
    biases = None
    if mode == "affine":
        scales = _float32(scales, scale_dtype)
        biases = _float32(mx.array(parts["biases"]), scale_dtype)
    if "global_scale" in parts:
        out = mx.stack(
            [
                mx.dequantize(
                    weight[e], scales[e], None, group_size, bits, mode=mode,
                    global_scale=mx.array(parts["global_scale"][e]), dtype=mx.float32,
                )
                for e in range(weight.shape[0])
            ]
        )  # fmt: skip
    else:
        out = mx.dequantize(weight, scales, biases, group_size, bits, mode=mode, dtype=mx.float32)
    mx.eval(out)
    return np.array(out)


def _float32(array: Any, dtype: str) -> Any:
    if dtype in {"BF16", "F16"}:
        array = array.view(mx.bfloat16 if dtype == "BF16" else mx.float16)
    return array.astype(mx.float32)


def mentions(config: Mapping[str, Any], word: str) -> bool:
    """Say whether the source of the class that `config` names contains `word` as a string literal.

    Raises NoRuntime where mlx-lm has no such class.
    """
    return f'"{word}"' in inspect.getsource(_classes(config))


def _classes(config: Mapping[str, Any]) -> Any:
    if config.get("model_file") is not None:
        return _own_classes(config["model_file"])
    name = module_name(config)
    if not name.isidentifier():
        raise NoRuntime(f"{name!r} is not a model type")
    try:
        return importlib.import_module(f"mlx_lm.models.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"mlx_lm.models.{name}":
            raise NoRuntime(f"mlx-lm's {name} class needs {error.name}, which is not installed") from error
        raise NoRuntime(
            f"mlx-lm {version('mlx-lm')} has no class for model type {name}",
            hint="a newer mlx-lm may have one; the job is tried again when one is installed",
        ) from error


def module_name(config: Mapping[str, Any]) -> str:
    """Return the module that stock mlx-lm takes for a config: by model type, or by type and architecture."""
    kind = str(config.get("model_type") or "")
    named = config.get("architectures")
    for architecture in named if isinstance(named, list) else ():
        if isinstance(architecture, str) and (kind, architecture) in MODEL_ARCHITECTURE_REMAPPING:
            return str(MODEL_ARCHITECTURE_REMAPPING[kind, architecture])
    return str(MODEL_REMAPPING.get(kind, kind))


def untagged(value: Any) -> Any:
    """Return a config with floats that JSON cannot hold as transformers tags them: {"__float__": "Infinity"}."""
    if isinstance(value, Mapping):
        if set(value) == {"__float__"}:
            return float(value["__float__"])
        return {key: untagged(part) for key, part in value.items()}
    return [untagged(part) for part in value] if isinstance(value, list) else value


def _own_classes(model_file: object) -> Any:
    if model_file not in extensions.names():
        raise NoRuntime(
            f"the config names the model file {str(model_file)[:60]!r}, which is not one of hubbot's own",
            hint="hubbot never runs code of a repo",
        )
    try:
        return importlib.import_module(f"{extensions.PACKAGE}.{str(model_file).removesuffix('.py')}")
    except ImportError as error:
        raise NoRuntime(
            f"hubbot's {model_file} needs a part that mlx-lm {version('mlx-lm')} does not have: {error}",
            hint="install the mlx-lm that this hubbot was made for",
        ) from error


def build(config: Mapping[str, Any]) -> Any:
    """Return the model that `config` describes, its random weights unevaluated.

    Raises NoRuntime where mlx-lm has no such class, ConfigUnresolved where the class rejects the config.
    """
    module = _classes(config)
    try:
        return module.Model(module.ModelArgs.from_dict(untagged(config)))
    except _REJECTIONS as error:
        raise ConfigUnresolved(
            f"mlx-lm's {config['model_type']} class does not take the config: {error}",
            hint="a field is missing or has a value that this class cannot use",
        ) from error


# Whatever a model class raises about numbers and keys that it cannot use.
_REJECTIONS = (
    TypeError, ValueError, KeyError, AttributeError, AssertionError, ArithmeticError, IndexError, StopIteration,
)  # fmt: skip


def _takes_global_scale(module: Any) -> bool:
    return "global_scale" in inspect.signature(module.to_quantized).parameters
