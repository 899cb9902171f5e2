"""A recipe file is checked key by key, and the artifact made with it can be made again."""

from pathlib import Path

import pytest

from hubbot.catalogue.variants.named_variants import GUARD, Precision, Subject, Variant, encode
from hubbot.catalogue.variants.recipes import read_recipe
from hubbot.errors import WrongUsage
from hubbot.plans import Encoding

MINE = """
name = "mine"
dtype = "fp16"
experts = { bits = 3 }
rest = { bits = 6, group_size = 32 }
[[rule]]
pattern = "model.layers.0.*"
bits = 4
[[rule]]
role = "lm_head"
quantize = false
[[rule]]
role = "attention"
mode = "mxfp8"
"""


def recipe(folder: Path, text: str) -> Variant:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


def encoded(variant: Variant, name: str, role: str, source_dtype: str = "BF16") -> Encoding:
    subject = Subject(
        name=name, role=role, shape=(8, 64, 128), source_dtype=source_dtype, main_dtype="BF16", quantizable=True,
        predicate=None, takes_global_scale=True,
    )  # fmt: skip
    return encode(subject, variant)[0]


def test_roles_patterns_and_the_rest_get_what_the_recipe_says(tmp_path: Path) -> None:
    mine = recipe(tmp_path, MINE)
    assert (mine.name, mine.dtype, mine.is_quantized) == ("mine", "F16", True)
    expert = encoded(mine, "model.layers.1.mlp.switch_mlp.up_proj.weight", "expert")
    assert (expert.mode, expert.bits, expert.group_size, expert.dtype) == ("affine", 3, 64, "F16")
    assert encoded(mine, "model.layers.1.mlp.shared_expert.up_proj.weight", "shared_expert").bits == 6
    assert encoded(mine, "model.layers.1.self_attn.q_proj.weight", "attention").mode == "mxfp8"
    assert encoded(mine, "lm_head.weight", "lm_head").mode == "none"


def test_the_first_rule_that_applies_decides(tmp_path: Path) -> None:
    mine = recipe(tmp_path, MINE)
    assert encoded(mine, "model.layers.0.self_attn.q_proj.weight", "attention").bits == 4


def test_a_pattern_that_catches_the_router_does_not_lower_it(tmp_path: Path) -> None:
    router = encoded(recipe(tmp_path, MINE), "model.layers.0.mlp.gate.weight", "router")
    assert (router.mode, router.bits) == ("affine", GUARD.bits)


def test_norms_are_never_quantized_whatever_a_recipe_says(tmp_path: Path) -> None:
    text = 'name = "all"\nrest = { bits = 4 }\n[[rule]]\npattern = "*"\nbits = 2\n'
    assert encoded(recipe(tmp_path, text), "model.norm.weight", "norm").mode == "none"


def test_a_group_that_does_not_divide_falls_to_a_smaller_one(tmp_path: Path) -> None:
    variant = recipe(tmp_path, 'name = "wide"\nexperts = { bits = 4, group_size = 128 }\n')
    assert variant.experts == Precision(mode="affine", bits=4, group_size=128)
    subject = Subject(
        name="x.switch_mlp.up_proj.weight", role="expert", shape=(8, 64, 192), source_dtype="BF16",
        main_dtype="BF16", quantizable=True, predicate=None, takes_global_scale=True,
    )  # fmt: skip
    assert encode(subject, variant)[0].group_size == 64


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "name None"),
        ('name = "4bit"', "no built-in variant"),
        ('name = "../x"', "name '../x'"),
        ('name = "x"\ncolour = "red"', "unknown key 'colour'"),
        ('name = "x"\ndtype = "fp8"', "dtype 'fp8'"),
        ('name = "x"\nexperts = 4', "must be a table"),
        ('name = "x"\nexperts = { bits = 7 }', "affine takes 2 3 4 5 6 8 bits, not 7"),
        ('name = "x"\nexperts = { bits = 4, group_size = 48 }', "groups of 64 32 128, not 48"),
        ('name = "x"\nexperts = { mode = "int4" }', "mode 'int4'"),
        ('name = "x"\nexperts = { mode = "mxfp4", bits = 8 }', "mxfp4 takes 4 bits"),
        ('name = "x"\n[[rule]]\nbits = 4', "rule 1 needs either role or pattern"),
        ('name = "x"\n[[rule]]\nrole = "experts"\nbits = 4', "role 'experts'"),
        ('name = "x"\n[[rule]]\nrole = "router"\nbits = 4', "below 8 bits"),
        ('name = "x"\nrule = 3', r"\[\[rule\]\]"),
        ("name = ", "cannot be read"),
    ],
)
def test_a_fault_is_told_with_the_file_and_the_key(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=told) as caught:
        recipe(tmp_path, text)
    assert caught.value.where == str(tmp_path / "recipe.toml")
