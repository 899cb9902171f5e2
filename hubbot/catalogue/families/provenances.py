"""Why a layout may be read in one way, and why a value is out of reach: the evidence that several rows share.

A provenance cites its source; it is never inferred from shapes.
"""

from hubbot.catalogue.families.row import Limit, Provenance

QWEN_FUSED = Provenance(
    order="concatenated",
    source="transformers 5.23 conversion_mapping: gate_proj, up_proj -> MergeModulelist, Concatenate(dim=1)",
)
PER_EXPERT = Provenance(order=None, source="transformers 5.23 conversion_mapping, one tensor per projection")
MLX = Provenance(order=None, source="mlx-lm's own SwitchGLU parameters")

MIXTRAL_PER_EXPERT = Provenance(
    order=None, source="transformers 5.23 conversion_mapping: w1, w3 -> gate_up_proj, w2 -> down_proj"
)
MIXTRAL_FUSED = Provenance(
    order="concatenated",
    source="transformers 5.23 conversion_mapping: w1, w3 -> MergeModulelist, Concatenate(dim=1)",
)
GRANITE = Provenance(
    order="concatenated", source="transformers 5.23 conversion_mapping: input_linear is gate_up_proj, renamed only"
)
ONE_GROUP = Limit(
    values=(None, 1),
    reason="mlx-lm masks the experts of excluded groups with 0 where transformers uses minus infinity",
)
