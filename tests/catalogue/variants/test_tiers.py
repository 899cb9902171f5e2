import pytest

from hubbot.catalogue.variants.named_variants import VARIANTS
from hubbot.catalogue.variants.tiers import BY_VARIANT, recommended_of, tier_of, tiers_of


def test_every_variant_has_tiers_and_marginal_allows_more_than_good() -> None:
    assert set(BY_VARIANT) == set(VARIANTS)
    for tiers in BY_VARIANT.values():
        assert tiers.good.kl_mean < tiers.marginal.kl_mean
        assert tiers.good.kl_p99 < tiers.marginal.kl_p99
        assert tiers.good.flips < tiers.marginal.flips


def test_fewer_bits_may_lose_more() -> None:
    limits = [
        tiers_of(name, 0).marginal.kl_mean for name in ("bf16", "8bit", "6bit", "5bit", "4bit", "3bit", "2bit")
    ]
    assert limits == sorted(set(limits))
    for bits in (4, 3, 2):
        assert tiers_of(f"moe-{bits}bit", 0).marginal.kl_mean < tiers_of(f"{bits}bit", 0).marginal.kl_mean
    limits = [tiers_of(f"moe-{bits}bit", 0).good.kl_mean for bits in (4, 3, 2)]
    assert limits == sorted(set(limits))


@pytest.mark.parametrize(
    ("name", "figures", "tier"),
    [
        # llama.cpp's README, Llama 3 8B: q8_0, q4_K_M, q2_K, iq2_XXS, iq1_S; an MLX sweep: uniform 4-bit
        # rejected at 0.312 / 0.80, experts at 4 bits shipped at 0.077 / 0.899.
        ("8bit", (0.0008, 0.01, 0.015), "good"),
        ("4bit", (0.031, 0.4, 0.078), "good"),
        ("4bit", (0.312, 3.0, 0.20), "marginal"),
        ("moe-4bit", (0.312, 3.0, 0.20), "refused"),
        ("moe-4bit", (0.077, 0.9, 0.101), "marginal"),
        ("4bit", (0.05, 0.5, 0.60), "refused"),
        ("2bit", (0.445, 4.4, 0.289), "good"),
        ("2bit", (0.812, 6.0, 0.40), "marginal"),
        ("2bit", (2.211, 9.0, 0.55), "refused"),
        ("moe-2bit", (0.445, 4.4, 0.289), "marginal"),
        ("bf16", (0.1, 0.1, 0.01), "refused"),
    ],
)
def test_published_figures_fall_into_the_tier_that_people_gave_them(
    name: str, figures: tuple[float, float, float], tier: str
) -> None:
    mean, tail, flips = figures
    assert tier_of(tiers_of(name, 0), kl_mean=mean, kl_p99=tail, flips=flips) == tier


@pytest.mark.parametrize(("bits", "like"), [(4, "4bit"), (3, "3bit"), (2, "2bit"), (16, "bf16"), (7, "6bit")])
def test_a_variant_without_a_row_goes_by_its_narrowest_bits(bits: int, like: str) -> None:
    assert tiers_of("somebody-elses", bits) == tiers_of(like, 0)


@pytest.mark.parametrize(
    ("measured", "best"),
    [
        ([], None),
        ([(60e9, 0.0), (32e9, 0.001), (17e9, 0.03), (10e9, 0.5)], 2),
        ([(17e9, 0.06), (10e9, 0.5)], 0),
        ([(10e9, 0.5)], 0),
        ([(17e9, 0.05), (16e9, 0.051)], 0),
    ],
)
def test_recommended_is_the_smallest_good_one_else_the_nearest(
    measured: list[tuple[float, float]], best: int | None
) -> None:
    assert recommended_of(measured) == best
