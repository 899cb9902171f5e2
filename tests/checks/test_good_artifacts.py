"""The referee never refuses what is right: every reference, every variant, and what mlx_lm.convert makes."""

import json
from pathlib import Path

import mlx.core as mx
import pytest
from mlx_lm.utils import load_model

from hubbot.artifacts import Report
from hubbot.catalogue.variants.named_variants import VARIANTS
from tests.checkpoints_on_disk import (
    CONVERTIBLE,
    converted,
    judged,
    look,
    read_stored,
    relative,
    safetensors,
    stock_model,
)
from tests.checkpoints_on_disk import answer as answered
from tests.checks.stock import borrow_tokenizer, stock_convert
from tests.reference.checkpoints import Case, write
from tests.reference.cover import brief, pairwise

MATRIX = tuple((made, variant) for made in CONVERTIBLE for variant in VARIANTS)
COVER = brief(pairwise(CONVERTIBLE, tuple(VARIANTS)))
# What mlx-lm itself stores under the names of the artifact, in one form per model type.
HUB = tuple({made.model_type: made for made in CONVERTIBLE if made.form in {"hub", "bf16"}}.values())
STOCK = ((None, 0, 0), ("affine", 4, 32), ("mxfp4", 4, 32))


def _ids(value: object) -> str:
    return value.name if isinstance(value, Case) else str(value)


def _approved(report: Report) -> None:
    assert report.failures == ()
    assert report.verdict == "approved"


@pytest.mark.parametrize(("made", "variant"), COVER, ids=_ids)
def test_a_conversion_is_approved(made: Case, variant: str, tmp_path: Path) -> None:
    source = look(write(made, tmp_path / "source"))
    # No case is refused before it is made: the references have something to quantize and fit float16.
    for folder in converted(source, tmp_path / "out", variant).values():
        _approved(judged(source, folder))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("made", CONVERTIBLE, ids=_ids)
def test_every_conversion_is_approved(made: Case, tmp_path: Path) -> None:
    source = look(write(made, tmp_path / "source"))
    for variant in VARIANTS:
        for folder in converted(source, tmp_path / "out", variant).values():
            _approved(judged(source, folder))


@pytest.mark.parametrize("variant", ["bf16", "4bit", "8bit", "mxfp4", "nvfp4", "moe-3bit"])
@pytest.mark.parametrize("made", [made for made in HUB if made.model_type in {"qwen3_moe", "mixtral"}], ids=_ids)
def test_identical_experts_in_a_source_are_a_warning_and_no_refusal(
    made: Case, variant: str, tmp_path: Path
) -> None:
    folder = write(made, tmp_path / "source")
    for path in folder.glob("*.safetensors"):
        stored = read_stored(path)
        for name in [name for name in stored if ".experts.1." in name]:
            stored[name] = stored[name.replace(".experts.1.", ".experts.0.")]
        path.write_bytes(safetensors(stored))
    source = look(folder)
    for made_folder in converted(source, tmp_path / "out", variant).values():
        report = judged(source, made_folder)
        _approved(report)
        warned = [finding.subject for finding in report.findings if finding.check == "identical experts"]
        assert warned
        assert all(subject.endswith("expert 1") for subject in warned)


@pytest.mark.parametrize("made", HUB, ids=_ids)
def test_what_mlx_lm_convert_makes_is_approved_where_it_is_right(made: Case, tmp_path: Path) -> None:
    folder = borrow_tokenizer(write(made, tmp_path / "source"))
    judged_some = False
    for mode, bits, group_size in STOCK:
        out = tmp_path / f"{mode}"
        try:
            stock_convert(folder, out, mode=mode, bits=bits, group_size=group_size)
        except (ValueError, KeyError, RuntimeError, TypeError, AttributeError, ModuleNotFoundError):
            continue
        if mode is None and not _is_right(made, out):
            pytest.skip("mlx-lm's own conversion answers otherwise than transformers: nothing right to judge")
        report = judged(look(folder), out)
        assert [failure for failure in report.failures if failure.check not in _DELIBERATE] == []
        judged_some = True
    if not judged_some:
        assert not _is_plain(folder)
        pytest.skip("mlx_lm.convert cannot convert this checkpoint")


# What hubbot refuses in anybody's artifact on purpose: a router below eight bits, tokens of a borrowed tokenizer.
# And mlx-lm leaves a key that makes a loader run the vendor's code.
_DELIBERATE = {"router bits", "config runs code"}


def _is_right(made: Case, folder: Path) -> bool:
    """Say whether the unquantized artifact answers as transformers does."""
    try:
        with mx.stream(mx.cpu):
            load_model(folder, strict=True)
        return relative(answered(stock_model(folder), made.ids), made.logits) < 0.05
    except (ValueError, KeyError, RuntimeError, TypeError, AttributeError):
        return False


def _is_plain(folder: Path) -> bool:
    return json.loads((folder / "config.json").read_text())["model_type"] in {"qwen3_moe", "olmoe", "mixtral"}
