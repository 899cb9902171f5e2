"""Reference models of JD; rows.py says what a row means."""

from tests.reference.rows import COMMON, DECIDED, LATENT, SIGMOID_CHOICE, SIGMOID_ROUTER, Family, Model

FAMILIES = (
    Family(
        model_type="joyai_llm_flash",
        built_as="deepseek_v3",
        config=COMMON | SIGMOID_ROUTER | LATENT,
        added=SIGMOID_CHOICE,
        rope_kind="type",
        matters=DECIDED,
        remarks=("the same class as deepseek_v3 under another name",),
        models=(Model(name="base", forms=("orig", "v5", "hub", "mtp")),),
    ),
)
