"""Where the experts of a checkpoint stand in the runtime's model: parameter names from tensor names."""

from collections.abc import Iterator

from hubbot.catalogue.experts.expert_layouts import ExpertTensor
from hubbot.catalogue.families import Family
from hubbot.catalogue.tensors import renamed


def parameters_of(tensor: ExpertTensor, family: Family) -> Iterator[tuple[str, str]]:
    """Yield (projection, parameter) for everything that an expert tensor is part of; a fused one gives two."""
    prefix = renamed(f"{tensor.prefix}.", family).rstrip(".")
    leaf = "bias" if tensor.is_bias else "weight"
    for projection in ("gate", "up") if tensor.projection == "gate_up" else (tensor.projection,):
        parts = (prefix, family.runtime_block, family.expert_module, family.expert_names[projection], leaf)
        yield projection, ".".join(part for part in parts if part)
