"""The twin in transformers: the model class of a source's config with seeded weights, its answers, its files.

The only module that imports torch and transformers' models. No code of a repo is ever run, nothing is fetched.
"""

import math
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from hubbot.catalogue.families import BY_MODEL_TYPE
from hubbot.errors import NoRuntime
from hubbot.runtime.probe import Run

# Keys that would make a class load code, unpack weights or answer in another dtype.
LEFT_OUT = frozenset(
    {"auto_map", "quantization_config", "quantization", "dtype", "torch_dtype", "_name_or_path", "model_file"}
)
TIE_NOISE = 1e-6
TIE_SHIFT = 2e-5


class TransformersTwin:
    """A model of transformers in float32, built from a config alone."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        with _one_thread():
            self._network = _build(config)
        self._names = [name for name, tensor in self._tensors().items() if tensor.is_floating_point()]

    def seed(self, seed: int, gain: float) -> None:
        """Give every float tensor new values, spread so that no part is silent; `gain` scales what matrices do."""
        generator = torch.Generator().manual_seed(seed)
        tensors = self._tensors()
        tied = not any(name.endswith("lm_head.weight") for name in tensors)
        with torch.no_grad():
            for name in self._names:
                noise = torch.randn(tensors[name].shape, generator=generator)
                tensors[name].copy_(_values(name, tensors[name], noise, gain=gain, tied=tied))
            for name in (name for name in tensors if name.endswith(".tid2eid")):
                # Experts by token: as many different ones a row as it has places.
                rows, places = tensors[name].shape
                order = torch.rand((rows, self._network.config.num_local_experts), generator=generator)
                tensors[name].copy_(order.argsort(dim=1)[:, :places])

    def is_decided(self, ids: npt.NDArray[np.int64], seed: int) -> bool:
        """Say whether weights shaken by a millionth give the same logits for `ids` [tokens].

        Where they do not, some router is near a tie.
        """
        before = {name: tensor.clone() for name, tensor in self._tensors().items()}
        answer = self.run(ids).logits
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name in self._names:
                tensor = self._tensors()[name]
                tensor.mul_(1 + TIE_NOISE * torch.randn(tensor.shape, generator=generator))
        shaken = self.run(ids).logits
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                tensor.copy_(before[name])
        return bool(np.abs(shaken - answer).max() < TIE_SHIFT * np.abs(answer).max())

    def run(self, ids: npt.NDArray[np.int64]) -> Run:
        """Return float32 logits [tokens, vocabulary] and the chosen experts for one sequence `ids` [tokens]."""
        found: list[npt.NDArray[np.int64]] = []
        hooks = [
            module.register_forward_pre_hook(_chosen(found), with_kwargs=True)
            for module in self._network.modules()
            if type(module).__name__.endswith("Experts")
        ]
        try:
            with torch.no_grad(), _one_thread():
                answer = speaking_part(self._network)(torch.tensor(ids)[None], use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        return Run(logits=answer.logits[0].float().numpy(), choices=tuple(found), experts=None)

    def save(self, folder: Path, *, fused: bool) -> None:
        """Write config.json and safetensors, the experts as published or as transformers 5 fuses them."""
        self._network.save_pretrained(folder, save_original_format=not fused)

    @property
    def vocabulary(self) -> int:
        """Return how many tokens the model knows."""
        return int(self._network.get_input_embeddings().weight.shape[0])

    def _tensors(self) -> dict[str, torch.Tensor]:
        named = dict(self._network.named_parameters()) | dict(self._network.named_buffers())
        return {name: named[name] for name in self._network.state_dict() if name in named}


def speaking_part(network: Any) -> Any:
    """Return the part of a model that answers to text alone: the model, or the causal model within it.

    Llama4ForConditionalGeneration of transformers 5.24 does not: it asks its text's output for that of pictures.
    """
    within = getattr(network, "language_model", None)
    return within if hasattr(within, "lm_head") else network


def _build(config: Mapping[str, Any]) -> Any:
    kind = str(config.get("model_type"))
    try:
        base = AutoConfig.for_model(_transformers_type(kind))
    except ValueError as error:
        raise NoRuntime(f"transformers {transformers.__version__} has no class for {kind}") from error
    values = {key: value for key, value in config.items() if key not in LEFT_OUT and key != "model_type"}
    made = type(base).from_dict(_untagged(values))
    options = {"dtype": torch.float32, "attn_implementation": "eager", "experts_implementation": "eager"}
    network = _class_of(made, kind)(made, **options)
    return network.eval()


def _transformers_type(kind: str) -> str:
    """Return the model type under which transformers has the class."""
    family = BY_MODEL_TYPE.get(kind)
    return (family.transformers_type if family else None) or kind


def _untagged(value: Any) -> Any:
    """Return JSON in which transformers' {"__float__": "Infinity"} is the number it stands for."""
    if isinstance(value, Mapping):
        return (
            float(value["__float__"])
            if set(value) == {"__float__"}
            else {k: _untagged(v) for k, v in value.items()}
        )
    return [_untagged(item) for item in value] if isinstance(value, list) else value


def _class_of(config: Any, kind: str) -> Any:
    inside = hasattr(config, "text_config")
    for auto in (AutoModelForImageTextToText, AutoModelForCausalLM)[:: 1 if inside else -1]:
        if type(config) in auto._model_mapping:  # noqa: SLF001 - the public way raises only after building
            known = auto._model_mapping[type(config)]  # noqa: SLF001
            if inside or "ConditionalGeneration" not in known.__name__ or auto is AutoModelForImageTextToText:
                return auto.from_config
    raise NoRuntime(f"transformers {transformers.__version__} has no language model for {kind}")


def _values(name: str, tensor: torch.Tensor, noise: torch.Tensor, *, gain: float, tied: bool) -> torch.Tensor:
    """Norms around one, biases of both signs, routers decided; what has a meaning of its own (A_log) near it."""
    if "norm" in name.rpartition(".")[0].rpartition(".")[2] and name.endswith("weight"):
        return 1 + 0.1 * noise
    if name.endswith("bias"):
        return 0.2 * noise
    if tensor.ndim < 2 or not name.endswith(("weight", "proj")):
        return tensor + 0.05 * noise
    if "embed" in name:
        return (0.2 if tied else 1.0) * noise
    decisive = name.startswith("lm_head") or ".gate." in name or "router" in name
    return noise * (2.0 if decisive else gain) / math.sqrt(tensor.shape[-1])


def _chosen(found: list[npt.NDArray[np.int64]]) -> Any:
    def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor) and not value.is_floating_point():
                found.append(value.reshape(-1, value.shape[-1]).numpy().astype(np.int64))
                return

    return hook


@contextmanager
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
