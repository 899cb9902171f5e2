"""Model types of makers of whom hubbot converts nothing yet; what becomes convertible moves to its maker's file.

A row knows one model type; it never reads a checkpoint.
"""

from hubbot.catalogue.families.provenances import BY_CLASS, MAPPED, MAPPED_GATE_FIRST, UNPROVEN
from hubbot.catalogue.families.row import Recognised

RECOGNISED: tuple[Recognised, ...] = (
    # Aleph Alpha
    Recognised(model_type="kolibri1", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED}),
    # JetMoE
    Recognised(model_type="jetmoe", layouts={}, reason="parallel experts of attention and MLP; no row reads them"),
    # Kuaishou
    Recognised(model_type="Klear", layouts={"per_expert": BY_CLASS}, reason=UNPROVEN),
    # mlabonne
    Recognised(model_type="phixtral", layouts={"per_expert_fc": BY_CLASS}, reason=UNPROVEN),
    # Recursive
    Recognised(model_type="flint", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
    # Reflection AI
    Recognised(model_type="beam", layouts={"per_expert": MAPPED, "stacked_fused": MAPPED_GATE_FIRST}),
    # Rhymes AI
    Recognised(
        model_type="aria_text",
        layouts={},
        reason="experts are stacked as fc1 and fc2, transposed, which no row reads",
    ),
    # Thinking Machines
    Recognised(model_type="inkling2_text", layouts={"w13": MAPPED}),
    Recognised(model_type="inkling_mm_model", layouts={"w13": MAPPED}),
    # Zyphra
    Recognised(model_type="zaya", layouts={"stacked_fused": MAPPED}),
)
