from pathlib import Path

import mlx.core as mx
import pytest

from hubbot.artifacts import Finding
from hubbot.checks.readers.artifact_parameters import StoredParameters
from hubbot.checks.readers.expected_parameters import Expectations
from hubbot.checks.structure.dtypes import check_dtypes
from tests.checkpoints_on_disk import Workshop, floats, from_mlx, read_folder, rewrite, row_of
from tests.sabotage.bench import read_config

SOURCE = "deepseek_v3/hub"
BIAS = "model.layers.1.mlp.gate.e_score_correction_bias"
ROUTER = "model.layers.1.mlp.gate.weight"
NORM = "model.norm.weight"


def finding(workshop: Workshop, folder: Path, *, is_own: bool) -> Finding:
    source = workshop.source(SOURCE)
    family = row_of(source.checkpoint.config, source.checkpoint.tensors)
    shapes = {name: bits.shape for name, (_, bits) in read_folder(folder).items()}
    expected = Expectations(source.folder, source.checkpoint, family, source.checkpoint.config)
    config = read_config(folder)
    return next(check_dtypes(expected, StoredParameters(folder, shapes), config, is_own=is_own))


@pytest.mark.parametrize("variant", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("is_own", [True, False])
def test_what_hubbot_makes_has_the_dtypes_that_it_ought_to(variant: str, is_own: bool, workshop: Workshop) -> None:
    assert finding(workshop, workshop.artifact(SOURCE, variant), is_own=is_own).status == "pass"


@pytest.mark.parametrize(
    ("name", "kind", "own", "foreign"),
    [
        (BIAS, mx.bfloat16, "fail", "fail"),
        (ROUTER, mx.bfloat16, "fail", "pass"),
        (ROUTER, mx.float16, "fail", "fail"),
        (NORM, mx.float16, "fail", "fail"),
        (NORM, mx.float32, "fail", "pass"),
    ],
)
def test_another_dtype_is_told_by_name(
    name: str, kind: mx.Dtype, own: str, foreign: str, workshop: Workshop, tmp_path: Path
) -> None:
    folder = workshop.copy(SOURCE, "bf16", tmp_path / "x")
    stored = read_folder(folder)
    stored[name] = from_mlx(mx.array(floats(stored[name])).astype(kind))
    rewrite(folder, stored)
    for is_own, expected in ((True, own), (False, foreign)):
        found = finding(workshop, folder, is_own=is_own)
        assert found.status == expected
        if expected == "fail":
            assert found.subject == name
