"""Make the answers in `images/` with torch and transformers; run by hand, the tests never do.

python -m tests.reference.make_images
"""

import copy
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoConfig

from tests.reference import images, make, seeing_forms
from tests.reference.checkpoints import Case, parameter_values


def main() -> None:
    """Ask every model in text and with its pictures, plain and with the values of fp8, and keep its logits."""
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for model_type in images.TOLERANCES:
        made = images.seeing(model_type)
        network, answers = build(made), {}
        for packing, form in ((images.PLAIN, seeing_forms.PER_EXPERT), (images.FP8, seeing_forms.FP8)):
            make.fill(network, seeing_forms.parameters(made, form))
            answers[f"{packing}.{images.TEXT}"] = look(network, made, images.picture(made).text, {})
            for kind in images.KINDS:
                shown = images.picture(made, kind)
                answers[f"{packing}.{kind}"] = look(network, made, shown.ids, shown.shown)
        refuse_idle_picture(network, made, answers[f"{images.FP8}.{images.ONE}"])
        np.savez_compressed(images.ANSWERS / f"{model_type}.npz", **answers)


def refuse_idle_picture(network: Any, made: Case, logits: Any) -> None:
    """Another picture must change the logits."""
    shown = images.picture(made)
    pixels = shown.shown["pixel_values"]
    other = {**shown.shown, "pixel_values": np.roll(pixels, 1, -1) * np.linspace(0.5, 2, pixels.shape[-1])}
    change = make.relative(look(network, made, shown.ids, other), logits)
    if change < 1e-2:
        raise SystemExit(f"{made.model_type}: the picture hardly matters ({change:.1e})")
    print(f"{made.model_type}: {len(shown.ids)} tokens, another picture changes the logits by {change:.2f}")


def build(made: Case) -> Any:
    """The in-memory model, float32, with the case's values."""
    values = {key: value for key, value in copy.deepcopy(made.config).items() if key != "model_type"}
    config = AutoConfig.for_model(made.model_type, **values)
    builder = getattr(transformers, made.config["architectures"][0])
    network = builder._from_config(
        config, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()
    make.fill(network, parameter_values(made.record))
    return network


def look(network: Any, made: Case, ids: Any, shown: Any) -> Any:
    """Float32 logits [tokens, vocabulary] of the token ids with what is shown beside them."""
    tokens = torch.tensor(ids)[None]
    taken = {name: torch.tensor(value.astype(np.float32 if value.dtype.kind == "f" else value.dtype))
             for name, value in shown.items()}  # fmt: skip
    with torch.no_grad():
        if made.model_type != "llama4":
            return network(input_ids=tokens, use_cache=False, **taken).logits[0].numpy()
        if not taken:
            return network.language_model(input_ids=tokens, use_cache=False).logits[0].numpy()
        # transformers 5.24's own forward asks the decoder for what it does not return.
        seen = network.get_image_features(**taken, return_dict=True).last_hidden_state
        seen = network.multi_modal_projector(seen.view(-1, seen.size(-1)))
        inputs = network.get_input_embeddings()(tokens).clone()
        inputs[tokens == images.IMAGE] = seen
        return network.language_model(inputs_embeds=inputs, use_cache=False).logits[0].numpy()


if __name__ == "__main__":
    main()
