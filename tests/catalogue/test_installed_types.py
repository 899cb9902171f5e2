"""Every MoE model type that the installed transformers and mlx-lm know has a row."""

import ast

import pytest

from hubbot.catalogue import installed_types, runtimes
from hubbot.catalogue.configs import source_readers
from hubbot.catalogue.coverage import coverage
from hubbot.catalogue.families import BY_MODEL_TYPE, RECOGNISED


def test_no_mixture_of_experts_of_transformers_or_mlx_lm_is_unknown() -> None:
    assert installed_types.missing() == {"transformers": (), "mlx-lm": ()}


def test_the_lists_come_from_the_packages_and_hold_what_is_known_to_be_sparse() -> None:
    sparse, files = installed_types.of_transformers(), installed_types.of_mlx_lm()
    assert {"qwen3_moe", "mixtral", "nllb-moe", "kimi_linear", "gpt_oss", "ernie4_5_vl_moe"} <= sparse
    assert {"qwen3_moe", "mixtral", "kimi_k25", "solar_open", "joyai_llm_flash", "mistral3"} <= files
    assert not {"llama", "gemma3", "mistral"} & (sparse | files)


def test_a_type_without_a_row_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        installed_types, "RECOGNISED", tuple(row for row in RECOGNISED if row.model_type not in {"beam", "Klear"})
    )
    assert installed_types.missing() == {"transformers": ("beam",), "mlx-lm": ("Klear",)}


def test_every_type_that_is_not_converted_says_why() -> None:
    for kind in coverage()["model_types"]:
        assert kind["state"] == "convertible" or kind["reason"], kind["model_type"]


def test_what_waits_for_a_class_is_not_refused_and_what_never_will_convert_does_not_wait() -> None:
    states = {kind["model_type"]: kind["state"] for kind in coverage()["model_types"]}
    assert states["glm5_next"] == states["qwen4_exp"] == states["mimo_v2"] == "recognised, no runtime"
    for kind in ("bailing_moe_linear", "minimax", "muse_spark", "deepseek_v41", "nllb-moe"):
        assert states[kind] == "refused"
    assert all(entry.model_type not in BY_MODEL_TYPE for entry in RECOGNISED)


def test_without_the_packages_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    installed_types.of_transformers.cache_clear()
    installed_types.of_mlx_lm.cache_clear()
    monkeypatch.setattr(source_readers, "config_classes", dict[str, list[ast.ClassDef]])
    monkeypatch.setattr(runtimes, "model_files", tuple[str, ...])
    assert installed_types.missing() == {"transformers": (), "mlx-lm": ()}
    installed_types.of_transformers.cache_clear()
    installed_types.of_mlx_lm.cache_clear()
