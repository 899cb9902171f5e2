from importlib.metadata import version

import pytest

from hubbot.catalogue import runtimes
from hubbot.catalogue.experts import expert_layouts
from hubbot.catalogue.families import BY_MODEL_TYPE, FAMILIES, Family
from hubbot.catalogue.families.defaults import COMMON, GROUPED
from hubbot.catalogue.families.provenances import APART, VEOMNI
from tests.checkpoints_on_disk import Workshop
from tests.reference.checkpoints import case, cases

RELAID = (APART, VEOMNI)
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)


def test_model_types_are_unique() -> None:
    assert len(BY_MODEL_TYPE) == len(FAMILIES)


@every_family
def test_the_installed_mlx_lm_has_the_class_that_a_family_names(family: Family) -> None:
    assert runtimes.fields(family.runtime, family.model_file) is not None


@every_family
def test_a_reference_proves_each_of_a_familys_own_layouts(family: Family, workshop: Workshop) -> None:
    made = [made for made in cases() if made.model_type == family.model_type and made.expected == "convert"]
    proven = {workshop.source(one.name).layout.row for one in made}
    # mlx_switch and mlx_experts are mlx-lm's own spelling, which transformers never writes; what relayout makes is
    # held against transformers' logits in tests/steps/test_relaid_converts.py.
    others = {"mlx_switch", "mlx_experts"} | {key for key, told in family.layouts.items() if told in RELAID}
    assert set(family.layouts) - others == proven - others


@every_family
def test_a_provenance_cites_its_source_and_gives_an_order_exactly_where_gate_and_up_share_a_tensor(
    family: Family,
) -> None:
    for key, provenance in family.layouts.items():
        assert any(
            name in provenance.source
            for name in ("transformers", "mlx-lm", "Tencent", "VeOmni", "hubbot relayout")
        )
        assert (provenance.order is not None) == expert_layouts.BY_KEY[key].is_fused
        assert provenance.order in {None, "concatenated", "interleaved", "up-first"}


@every_family
def test_defaults_name_only_fields_of_the_runtimes_class(family: Family) -> None:
    fields = runtimes.fields(family.text_args or family.runtime, family.model_file)
    assert fields
    shared = set(COMMON) | set(GROUPED)
    assert set(family.defaults) - shared <= {field.name for field in fields}


def test_the_cited_transformers_is_the_one_that_made_the_references() -> None:
    assert case("qwen3_moe/orig").config["transformers_version"].startswith("5.23")
    assert version("mlx-lm").startswith("0.32")
