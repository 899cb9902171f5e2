"""Every model that sees in every form of its experts, converted and asked in both runtimes: SEEING.md.

python -m tests.reference.seeing_table      writes it; run by hand, with mlx-vlm; tests see a missing row
"""

import re
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx

from hubbot.catalogue.experts.relayout_packed import packed_rearrangement
from hubbot.catalogue.families import family_for
from hubbot.catalogue.towers import Tower
from hubbot.runtime import loading, vision
from hubbot.steps.relayout import relayout
from tests.checkpoints_on_disk import converted, look, quietly, relative
from tests.reference import images, seeing_forms
from tests.relaid import looked

SEEING = Path(__file__).parent / "SEEING.md"
TEXT_TOLERANCE = 1e-5
COLUMNS = ("mlx-lm, text", "mlx-vlm, text", *images.KINDS)
DIRECT = "convert"
# What is converted only after a relayout, which the refusal names.
VIA = {
    ("qwen3_5_moe", seeing_forms.TRANSPOSED): "per_expert",
    ("llama4", seeing_forms.FUSED): "per_expert",
    ("llama4", seeing_forms.FP8_FUSED): "per_expert",
    ("gemma4", seeing_forms.TRANSPOSED): "per_expert",
    ("minimax_m3_vl", seeing_forms.TRANSPOSED): "stacked_fused",
    ("kimi_k25", seeing_forms.TRANSPOSED): "per_expert",
}


def artifact(model_type: str, form: str, folder: Path) -> Path:
    """Write the model in a form into `folder` and return it converted to fp32, by way of VIA where need be."""
    source = seeing_forms.write(images.seeing(model_type), form, folder / "source")
    to = VIA.get((model_type, form))
    return converted(look(_relaid(source, to, folder / to) if to else source), folder / "out", "fp32")["fp32"]


def errors(model_type: str, form: str, folder: Path) -> dict[str, float]:
    """The relative errors of the logits against transformers, by COLUMNS; mlx-vlm must be installed.

    mlx-vlm computes in float32 here: the tower of an fp8 source is kept in its bfloat16.
    """
    made = artifact(model_type, form, folder)
    packing = images.FP8 if form.startswith("fp8") else images.PLAIN
    case = images.seeing(model_type)
    text, spoken = images.picture(case).text, images.answer(model_type, packing, images.TEXT)
    seeing = vision.load(made)
    seeing.set_dtype(mx.float32)
    found = [
        relative(loading.logits(loading.load(made), text), spoken),
        relative(vision.logits(seeing, text, {}), spoken),
    ]
    for kind in images.KINDS:
        shown = images.picture(case, kind)
        given = {name: value for name, value in shown.shown.items() if name not in shown.replaced}
        answered = vision.logits(seeing, shown.ids, given | dict(shown.known_as))
        found.append(relative(answered, images.answer(model_type, packing, kind)))
    return dict(zip(COLUMNS, found, strict=True))


def combinations() -> Iterator[tuple[str, str]]:
    """Yield every (model type, form)."""
    return ((model_type, form) for model_type in images.TOLERANCES for form in seeing_forms.FORMS)


def read(text: str) -> list[tuple[str, str]]:
    """Return the (model type, form) of the rows of SEEING.md."""
    return re.findall(r"^\| (\w+) \| ([a-z0-9 -]+) \| (?:convert|relayout)", text, re.MULTILINE)


def way(model_type: str, form: str) -> str:
    """Say how the form becomes an artifact."""
    to = VIA.get((model_type, form))
    return f"relayout --to {to.replace('_', '-')}, {DIRECT}" if to else DIRECT


def main() -> None:
    """Measure everything and write SEEING.md."""
    rows = []
    for model_type, form in combinations():
        with tempfile.TemporaryDirectory(prefix="hubbot-seeing-") as folder:
            cells = [f"{error:.1e}" for error in errors(model_type, form, Path(folder)).values()]
        rows.append(f"| {model_type} | {form} | {way(model_type, form)} | {' | '.join(cells)} |")
    faults = "\n".join(f"- {kind}: {'; '.join(told)}." for kind, told in _faults())
    head = ("model type", "form", "way", *COLUMNS)
    SEEING.write_text(
        f"""# Models that see, in both runtimes

`python -m tests.reference.seeing_table` writes this file. Each is a tiny checkpoint whose experts are stored
in one form, converted to fp32; the figures are relative errors of the logits against those of transformers, for
text and with pictures.

Measured with mlx-lm {version("mlx-lm")}, mlx-vlm {version("mlx-vlm")}, mlx {version("mlx")}.

| {" | ".join(head)} |
|{"---|" * len(head)}
{chr(10).join(rows)}

What mlx-vlm is known to compute otherwise, as the cards say:

{faults}
""",
        encoding="utf-8",
    )


def _faults() -> Iterator[tuple[str, tuple[str, ...]]]:
    for model_type in images.TOLERANCES:
        tower = family_for(images.seeing(model_type).config, ())
        assert tower is not None
        if isinstance(tower.tower, Tower) and tower.tower.differences:
            yield model_type, tower.tower.differences


def _relaid(source: Path, to: str, out: Path) -> Path:
    checkpoint = looked(source)
    bounds = {"working_bytes": 1 << 20, "shard_bytes": 1 << 30}
    made = packed_rearrangement(checkpoint, to, unpack=False)
    relayout(checkpoint, made, source=source, out=out, progress=quietly, **bounds)
    return out


if __name__ == "__main__":
    main()
