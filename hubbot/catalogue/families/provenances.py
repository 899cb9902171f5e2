"""Why a layout may be read in one way, and why a value is out of reach: the evidence that several rows share.

A provenance cites its source; it is never inferred from shapes.
"""

from hubbot.catalogue.families.row import Limit, Provenance

QWEN_FUSED = Provenance(
    order="concatenated",
    source="transformers 5.23 conversion_mapping: gate_proj, up_proj -> MergeModulelist, Concatenate(dim=1)",
)
PER_EXPERT = Provenance(order=None, source="transformers 5.23 conversion_mapping, one tensor per projection")
# What trainers and hubbot's relayout make: a projection is never joined to another, so that no order can be wrong.
VEOMNI = Provenance(
    order=None, source="VeOmni moe_merge.py: the experts' weights of one projection, [out, in] each, stacked"
)
APART = Provenance(order=None, source="hubbot relayout: one tensor for each expert and projection, [out, in]")
BAILING = Provenance(
    order=None,
    source="transformers 5.24 conversion_mapping of sarvam_moe, whose names are Bailing's: a tensor a projection",
)
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
NATIVE_FUSED = Provenance(
    order="concatenated",
    source="transformers 5.23: no conversion, the checkpoint is the module, gate_up_proj = gate then up (chunk)",
)
DBRX = Provenance(
    order=None,
    source="transformers 5.23 DbrxExpertGLU: w1, v1 and w2 are views [E, width, hidden]; silu(x w1) * (x v1) w2",
)
GATELESS = Provenance(
    order=None, source="transformers 5.23 conversion_mapping: up_proj and down_proj -> MergeModulelist, no gate"
)
GATELESS_STACKED = Provenance(
    order=None, source="transformers 5.23 NemotronHExperts: up_proj [E, I, H] and down_proj [E, H, I], no gate"
)
LLAMA4 = Provenance(
    order="concatenated",
    source="transformers 5.23 Llama4TextExperts: bmm with [E, H, 2I], chunked into gate and up",
)
GPT_OSS = Provenance(
    order="interleaved",
    source="transformers 5.23 GptOssExperts: [E, H, 2I], gate = [..., ::2], up = [..., 1::2]",
)
GPT_OSS_PACKED = Provenance(
    order="interleaved",
    source="transformers 5.23 integrations/mxfp4: blocks [E, 2I, H / 32, 16] are the transpose of gate_up_proj",
)
MLX_EXPERTS = Provenance(order=None, source="mlx-lm's own SwitchGLU parameters, called experts")
QWEN3_VL = Provenance(
    order="concatenated", source="transformers 5.23 save_pretrained of Qwen3VLMoe: gate_up_proj [E, 2I, H]"
)
QWEN3_VL_TRANSPOSED = Provenance(
    order="concatenated",
    source="transformers 5.23 conversion_mapping: Transpose(1, 2, check_dims) of gate_up_proj [E, H, 2I]",
)
ONE_GROUP = Limit(
    values=(None, 1),
    reason="mlx-lm masks the experts of excluded groups with 0 where transformers uses minus infinity",
)
NO_GROUPS = Limit(values=(None, 1), reason="transformers' class chooses among all experts")
UNTIED = Limit(values=(False,), reason="transformers keeps an output layer of its own for this family")

# Of model types that are recognised and not converted.
MAPPED = Provenance(order=None, source="transformers 5.23 conversion_mapping and experts' modules")
MAPPED_GATE_FIRST = Provenance(order="concatenated", source=MAPPED.source)
BY_CLASS = Provenance(order=None, source="mlx-lm 0.32.2's class")
ENCODER = "an encoder-decoder; mlx-lm decodes by a decoder alone"
PART = "a part of a larger model, under whose name it is published: no checkpoint of a text decoder has this type"
UNPROVEN = "mlx-lm has a class, but transformers 5.23 builds no model of this type to prove it against"
