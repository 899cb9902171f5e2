import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hubbot.artifacts import Report
from hubbot.catalogue.variants.named_variants import Precision, Variant
from hubbot.steps.convert import Bounds, convert
from hubbot.steps.plan import plan
from tests.checkpoints_on_disk import Source, judged, look, quietly, read_folder, rewrite
from tests.packing_on_disk import FORMS, MXFP4, Form, Written, is_expert, read_packed, write

DOWN = "model.layers.1.mlp.switch_mlp.down_proj"
EXPERTS = range(8)


def recipe(mode: str, bits: int, group: int, dtype: str | None = None) -> Variant:
    precision = Precision(mode=mode, bits=bits, group_size=group)
    return Variant(name="own", dtype=dtype, experts=precision, rest=precision)


INT4 = recipe("affine", 4, 32)
# Form, variant, how many outputs of the fourteen packed keep their codes.
KEPT = {
    "mxfp4": ("mxfp4-pack-quantized", "mxfp4", 14),
    "mxfp4, experts only": ("mxfp4-pack-quantized", "moe-mxfp4", 6),
    "mxfp8": ("mxfp8", "mxfp8", 14),
    "nvfp4 has room for its scale beside experts only": ("nvfp4-pack-quantized", "nvfp4", 6),
    "nvfp4 of ModelOpt": ("modelopt nvfp4", "nvfp4", 6),
    "int4": ("pack-quantized int4", INT4, 14),
    "int8": ("pack-quantized int8", "8bit", 14),
    "zero points times scales in float32": (
        "pack-quantized int4 with zero points", recipe("affine", 4, 32, "F32"), 14,
    ),
    "awq in float32": ("awq", recipe("affine", 4, 32, "F32"), 14),
}  # fmt: skip
REQUANTIZED = {
    "another mode": ("mxfp4-pack-quantized", "4bit"),
    "other bits": ("pack-quantized int4", recipe("affine", 8, 32)),
    "another group": ("pack-quantized int4", "4bit"),
    "fp8 blocks": ("fp8 blocks", "mxfp8"),
    "zero points that bfloat16 cannot hold": ("pack-quantized int4 with zero points", INT4),
    "awq in float16": ("awq", INT4),
    "columns in an order of their own": ("pack-quantized int4 in order", INT4),
    "inputs in an order of their own": ("gptq in order", recipe("affine", 4, 32, "F32")),
    "one scale a row": ("pack-quantized int4 channel", INT4),
}


class Made:
    """One conversion of a packed reference."""

    def __init__(self, name: str, form: Form, variant: str | Variant, folder: Path, takes: Any = None) -> None:
        self.written: Written = write(name, form, folder, **({"takes": takes} if takes else {}))
        self.source: Source = look(self.written.packed)
        planned = plan(self.source.checkpoint, self.source.layout, [variant], working_bytes=1 << 20)
        (artifact,) = convert(
            self.source.checkpoint,
            planned,
            source=self.source.folder,
            out=folder / "out",
            bounds=Bounds(working_bytes=1 << 16, shard_bytes=1 << 30),
            progress=quietly,
        )
        self.folder = Path(artifact.path)
        self.codes = json.loads((self.folder / "hubbot.json").read_text())["source_codes"]

    def report(self) -> Report:
        return judged(self.source, self.folder)


def nibbles(raw: NDArray[Any]) -> NDArray[np.uint8]:
    """The four-bit fields of little-endian words, lowest first."""
    flat = np.ascontiguousarray(raw).view(np.uint8)
    return np.stack([flat & 15, flat >> 4], axis=-1).reshape(*flat.shape[:-1], -1)


@pytest.mark.parametrize(("form", "variant", "count"), KEPT.values(), ids=KEPT.keys())
def test_codes_of_the_very_format_are_kept_and_the_referee_approves(
    form: str, variant: str | Variant, count: int, tmp_path: Path
) -> None:
    made = Made("qwen3_moe/orig", FORMS[form], variant, tmp_path)
    assert len(made.codes["kept"]) == count
    assert len(made.codes["requantized"]) == 14 - count
    report = made.report()
    assert [finding for finding in report.findings if finding.status == "fail"] == []
    assert report.verdict == "approved"


@pytest.mark.parametrize(("form", "variant"), REQUANTIZED.values(), ids=REQUANTIZED.keys())
def test_everything_else_is_quantized_again_and_recorded_so(
    form: str, variant: str | Variant, tmp_path: Path
) -> None:
    made = Made("qwen3_moe/orig", FORMS[form], variant, tmp_path)
    assert made.codes["kept"] == []
    assert len(made.codes["requantized"]) == 14
    assert made.report().verdict == "approved"


def test_unquantized_variants_record_what_was_dequantized(tmp_path: Path) -> None:
    made = Made("qwen3_moe/orig", FORMS["fp8 blocks"], "bf16", tmp_path)
    assert {key: len(names) for key, names in made.codes.items()} == {
        "kept": 0, "requantized": 0, "dequantized": 14,
    }  # fmt: skip


def test_kept_mxfp4_is_the_sources_bytes(tmp_path: Path) -> None:
    made = Made("qwen3_moe/orig", FORMS["mxfp4-pack-quantized"], "mxfp4", tmp_path)
    held, stored = read_folder(made.folder), read_packed(made.written.packed)
    names = [f"model.layers.1.mlp.experts.{expert}.down_proj" for expert in EXPERTS]
    codes = np.stack([stored[f"{name}.weight_packed"][1] for name in names])
    assert np.array_equal(held[f"{DOWN}.weight"][1].view(np.uint8), codes)
    scales = np.stack([stored[f"{name}.weight_scale"][1] for name in names])
    assert np.array_equal(held[f"{DOWN}.scales"][1], scales)


def test_kept_gpt_oss_rows_are_de_interleaved_and_nothing_else(tmp_path: Path) -> None:
    made = Made("gpt_oss/hub", MXFP4, "moe-mxfp4", tmp_path, is_expert)
    assert len(made.codes["kept"]) == 6
    held, stored = read_folder(made.folder), read_packed(made.written.packed)
    blocks = stored["model.layers.0.mlp.experts.gate_up_proj_blocks"][1]
    scales = stored["model.layers.0.mlp.experts.gate_up_proj_scales"][1]
    for number, part in enumerate(("gate", "up")):
        name = f"model.layers.0.mlp.experts.{part}_proj"
        wanted = blocks.reshape(*blocks.shape[:2], -1)[:, number::2]
        assert np.array_equal(held[f"{name}.weight"][1].view(np.uint8), wanted)
        assert np.array_equal(held[f"{name}.scales"][1], scales[:, number::2])
    assert made.report().verdict == "approved"


@pytest.mark.parametrize(("form", "whole"), [("modelopt nvfp4", ".weight_scale_2"), ("nvfp4-pack-quantized", "")])
def test_kept_nvfp4_has_the_tensors_scale_of_every_expert(form: str, whole: str, tmp_path: Path) -> None:
    made = Made("qwen3_moe/orig", FORMS[form], "nvfp4", tmp_path)
    held, stored = read_folder(made.folder), read_packed(made.written.packed)
    for expert in EXPERTS:
        name = f"model.layers.1.mlp.experts.{expert}.down_proj"
        number = stored[name + (whole or ".weight_global_scale")][1].view("<f4").reshape(())
        factor = number if whole else 1 / np.float64(number)
        assert held[f"{DOWN}.global_scale"][1].view("<f4")[expert] == pytest.approx(2688 * factor, rel=1e-6)
        assert np.array_equal(held[f"{DOWN}.scales"][1][expert], stored[f"{name}.weight_scale"][1])


def test_kept_int4_codes_are_the_sources_and_biases_are_the_exact_zero_points(tmp_path: Path) -> None:
    made = Made("qwen3_moe/orig", FORMS["awq"], recipe("affine", 4, 32, "F32"), tmp_path)
    held = read_folder(made.folder)
    codes = nibbles(held[f"{DOWN}.weight"][1])
    scales, biases = (held[f"{DOWN}.{part}"][1].view("<f4") for part in ("scales", "biases"))
    wide = np.repeat(scales, 32, axis=-1), np.repeat(biases, 32, axis=-1)
    for expert in EXPERTS:
        values = codes[expert] * wide[0][expert] + wide[1][expert]
        assert np.array_equal(values, made.written.values[f"model.layers.1.mlp.experts.{expert}.down_proj.weight"])


@pytest.mark.parametrize(("form", "variant", "count"), KEPT.values(), ids=KEPT.keys())
def test_one_code_of_a_kept_weight_off_by_one_is_refused(
    form: str, variant: str | Variant, count: int, tmp_path: Path
) -> None:
    made = Made("qwen3_moe/orig", FORMS[form], variant, tmp_path)
    held = read_folder(made.folder)
    words = held[f"{DOWN}.weight"][1]
    words[3, 5, 2] ^= np.uint32(1 << 4)
    rewrite(made.folder, held)
    report = made.report()
    assert count
    assert report.verdict == "refused"
    assert any(finding.subject.startswith(DOWN) for finding in report.findings if finding.status == "fail")


@pytest.mark.parametrize("part", ["scales", "biases", "global_scale"])
def test_a_scale_of_a_kept_weight_that_is_another_is_refused(part: str, tmp_path: Path) -> None:
    form, variant = ("modelopt nvfp4", "nvfp4") if part == "global_scale" else ("pack-quantized int4", INT4)
    made = Made("qwen3_moe/orig", FORMS[form], variant, tmp_path)
    held = read_folder(made.folder)
    held[f"{DOWN}.{part}"][1].reshape(-1)[5] += 1 << 19 if part == "global_scale" else 1
    rewrite(made.folder, held)
    assert made.report().verdict == "refused"


def test_experts_of_kept_codes_that_changed_places_are_refused(tmp_path: Path) -> None:
    made = Made("qwen3_moe/orig", FORMS["mxfp4-pack-quantized"], "mxfp4", tmp_path)
    held = read_folder(made.folder)
    for part in ("weight", "scales"):
        array = held[f"{DOWN}.{part}"][1]
        array[[2, 4]] = array[[4, 2]]
    rewrite(made.folder, held)
    assert made.report().verdict == "refused"
