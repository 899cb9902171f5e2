from hubbot.catalogue.variants.named_variants import VARIANTS
from tests.checkpoints_on_disk import CONVERTIBLE
from tests.reference.cover import brief, pairwise

COVER = pairwise(CONVERTIBLE, tuple(VARIANTS))


def test_every_case_is_covered() -> None:
    assert {made.name for made, _ in COVER} == {made.name for made in CONVERTIBLE}


def test_every_form_meets_every_variant() -> None:
    forms = {made.form for made in CONVERTIBLE}
    assert {(made.form, variant) for made, variant in COVER} == {
        (form, variant) for form in forms for variant in VARIANTS
    }


def test_nothing_is_covered_twice_and_little_more_than_each_case_once() -> None:
    assert len({(made.name, variant) for made, variant in COVER}) == len(COVER)
    assert len(COVER) < 1.6 * len(CONVERTIBLE)


def test_a_brief_selection_has_every_model_type_form_and_variant() -> None:
    chosen = brief(COVER)
    assert set(chosen) <= set(COVER)
    assert len(chosen) < len(COVER) / 2
    for name, everything in (("model_type", CONVERTIBLE), ("form", CONVERTIBLE)):
        assert {getattr(made, name) for made, _ in chosen} == {getattr(made, name) for made in everything}
    assert {variant for _, variant in chosen} == set(VARIANTS)
