"""Versions that are known to be silently wrong: which artifacts a row touches, and that rows can be trusted."""

import pytest

from hubbot.catalogue import known_bad_versions
from hubbot.catalogue.known_bad_versions import ROWS, KnownBad, among, touching


def issues(made_with: dict[str, str], model_type: str | None, variant: str) -> set[int]:
    return {int(row.issue.rpartition("/")[2]) for row in touching(made_with, model_type, variant)}


@pytest.mark.parametrize(
    ("made_with", "model_type", "variant", "found"),
    [
        ({"mlx-lm": "0.31.3"}, "lfm2_moe", "bf16", {1883}),
        ({"mlx-lm": "0.28.2"}, "lfm2_moe", "bf16", set()),
        ({"mlx-lm": "0.32.0"}, "lfm2_moe", "bf16", set()),
        ({"mlx-lm": "0.31.3"}, "qwen3_moe", "bf16", set()),
        ({"mlx-lm": "0.31.0"}, "qwen3_5_moe", "4bit", {1197}),
        ({"mlx-lm": "0.31.0"}, None, "4bit", {1883, 1197}),
        ({"mlx": "0.32.2"}, "qwen3_moe", "4bit", {3856, 3887}),
        ({"mlx": "0.32.2"}, "qwen3_moe", "bf16", set()),
        ({"mlx": "0.31.2"}, "gpt_oss", "mxfp4", {3631, 3887}),
        ({"mlx": "0.31.2"}, "gpt_oss", "moe-mxfp4", {3631, 3856, 3887}),
        ({"mlx": "0.32.0"}, "qwen3_moe", "nvfp4", {3854, 3887, 3934}),
        ({"mlx": "0.32.0"}, "qwen3_moe", "somebody's", {3854, 3856, 3887, 3934}),
        ({"mlx": "0.32.4", "mlx-lm": "0.32.2"}, None, "4bit", set()),
        ({}, None, "4bit", set()),
    ],
)
def test_a_row_touches_by_version_model_type_and_variant(
    made_with: dict[str, str], model_type: str | None, variant: str, found: set[int]
) -> None:
    assert issues(made_with, model_type, variant) == found


@pytest.mark.parametrize(
    ("told", "is_bad"),
    [
        ("0.31", True), ("0.31.0", True), ("0.31.1.dev20260101+abc", True), ("0.32rc1", True), ("0.32.0", True),
        ("0.32.1", False), ("0.30.9", False), ("1", False), ("", False), ("none", False), ("x0.31", False),
    ],
)  # fmt: skip
def test_versions_are_compared_by_their_numbers(told: str, is_bad: bool) -> None:
    assert KnownBad(package="mlx", first="0.31", last="0.32.0", wrong="all", issue="").has(told) is is_bad


def test_every_row_names_a_range_and_a_public_issue() -> None:
    for row in ROWS:
        assert row.has(row.first), row
        assert row.has(row.last), row
        assert row.issue.startswith("https://github.com/"), row
        assert row.issue.rpartition("/")[2].isdigit(), row
    assert len(set(ROWS)) == len(ROWS)


def test_the_versions_that_hubbot_is_tested_with_are_not_known_to_be_wrong() -> None:
    assert among(known_bad_versions.installed()) == ()
