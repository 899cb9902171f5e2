"""Model types of makers of whom hubbot converts nothing yet; what becomes convertible moves to its maker's file.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.provenances import BY_CLASS, MAPPED, MAPPED_GATE_FIRST, PART, UNPROVEN
from hubbot.catalogue.families.row import Recognised

RECOGNISED: tuple[Recognised, ...] = (
    # Aleph Alpha
    Recognised(model_type="kolibri1", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED}),
    # JetMoE
    Recognised(model_type="jetmoe", layouts={}, reason="attention has experts, too, which no row reads"),
    # Kuaishou
    Recognised(model_type="Klear", layouts={"per_expert": BY_CLASS}, reason=UNPROVEN),
    # mlabonne
    Recognised(model_type="phixtral", layouts={"per_expert_fc": BY_CLASS}, reason=UNPROVEN),
    Recognised(model_type="phi-msft", layouts={"per_expert_fc": BY_CLASS}, reason=UNPROVEN, waits=False),
    # Prism
    Recognised(
        model_type="prism_hadamard_qwen35",
        layouts={},
        reason="dense weights turned by a Hadamard transform and quantized by their maker",
        waits=False,
    ),
    # Recursive
    Recognised(model_type="flint", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
    # Reflection AI
    Recognised(model_type="beam", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
    # Rhymes AI
    Recognised(
        model_type="aria",
        layouts={},
        reason="experts are stacked as fc1 and fc2, transposed, which no row reads",
    ),
    Recognised(
        model_type="aria_text",
        layouts={},
        reason="experts are stacked as fc1 and fc2, transposed, which no row reads",
    ),
    # Thinking Machines
    Recognised(model_type="inkling2_text", layouts={"w13": MAPPED}),
    Recognised(model_type="inkling_mm_model", layouts={"w13": MAPPED}),
    Recognised(model_type="inkling_text", layouts={}, reason=PART, waits=False),
    Recognised(model_type="inkling2", layouts={"w13": MAPPED}),
    Recognised(model_type="inkling2_loop", layouts={"w13": MAPPED}),
    Recognised(model_type="inkling2_loop_text", layouts={"w13": MAPPED}),
    # SmallDoge
    Recognised(
        model_type="doge",
        layouts={},
        reason="its router mixes the tokens of a text, so that all at once and one by one get other answers",
        waits=False,
    ),
    # ViTPose's authors
    Recognised(model_type="vitpose_backbone", layouts={}, reason="it sees and generates no text", waits=False),
    # Translated
    Recognised(model_type="lara_mini", layouts={"stacked_fused": MAPPED}),
    # Zyphra
    Recognised(model_type="zaya", layouts={"stacked_fused": MAPPED}),
)
