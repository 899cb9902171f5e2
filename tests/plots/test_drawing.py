"""The pictures: drawn from reports alone, small, and readable on light pages and on dark ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from hubbot.finishing import PICTURES
from hubbot.plots import drawing

pytestmark = pytest.mark.skipif(not drawing.is_possible(), reason="matplotlib, of the extra `plots`, is not here")


def report(variant: str, nbytes: int, kl: float, **more: Any) -> dict[str, Any]:
    text = {"is_text": True}
    return {
        "artifact": {"variant": variant, "nbytes": nbytes},
        "findings": [{"check": "tier", "status": "pass"}],
        "measurements": {"text": text, "divergence": {"kl_mean": {"value": kl}}, **more},
    }


def drawn(folder: Path, *reports: dict[str, Any], variant: str = "4bit") -> dict[str, bytes]:
    (folder / "out").mkdir(parents=True)
    paths = []
    for number, record in enumerate(reports):
        paths.append(folder / f"{number}.json")
        paths[-1].write_text(json.dumps(record))
    request = {"reports": list(map(str, paths)), "folders": {variant: str(folder / "out")}}
    answer = drawing.draw(request, lambda *_: None)
    found = {name: (folder / "out" / name).read_bytes() for name in PICTURES if (folder / "out" / name).is_file()}
    assert answer == {"drawn": len(found)}
    return found


LARGE = {
    "layer_cosines": [1 - i / 9000 for i in range(94)],
}
SMOKE = {"utilisation": [{"layer": str(i), "tokens": 99, "counts": list(range(i, i + 256))} for i in range(94)]}


def test_each_picture_of_a_large_model_is_a_small_png(tmp_path: Path) -> None:
    found = drawn(
        tmp_path,
        report("bf16", 480 * 10**9, 0.0),
        report("8bit", 250 * 10**9, 0.001),
        {**report("4bit", 130 * 10**9, 0.03, **LARGE), "smoke": SMOKE},
    )
    assert set(found) == set(PICTURES)
    for name, data in found.items():
        assert data.startswith(b"\x89PNG")
        assert len(data) < drawing.MOST_BYTES, name


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    assert drawn(tmp_path / "a", report("8bit", 10**9, 0.001)).keys() == {"plots/variants.png"}
    bare = {"artifact": {"variant": "4bit", "nbytes": 1}, "measurements": {}, "smoke": None}
    assert drawn(tmp_path / "b", bare) == {}
    unknown = {**report("8bit", 10**9, 0.001), "findings": [{"check": "tier", "status": "not-applicable"}]}
    assert drawn(tmp_path / "c", unknown) == {}


def test_equal_reports_make_equal_pictures(tmp_path: Path) -> None:
    records = (report("8bit", 250 * 10**9, 0.001), {**report("4bit", 10**9, 0.03, **LARGE), "smoke": SMOKE})
    assert drawn(tmp_path / "a", *records) == drawn(tmp_path / "b", *records)


def test_ink_and_paper_are_far_enough_apart_wherever_the_picture_stands() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in (drawing.INK, drawing.SOFT, drawing.ACCENT, drawing.OTHER):
        # The paper is the picture's own, so the page's colour does not matter (WCAG 2: 4.5 for text, 3 for marks).
        assert (luminance(drawing.PAPER) + 0.05) / (luminance(colour) + 0.05) > 4


@pytest.mark.parametrize(
    "points",
    [
        [("bf16", 61e9, 0.0), ("8bit", 32e9, 0.001), ("moe-4bit", 18.7e9, 0.0316), ("4bit", 17.2e9, 0.0327)],
        [(name, 17e9 + 1e8 * number, 0.03) for number, name in enumerate(("4bit", "mxfp4", "nvfp4", "moe-4bit"))],
        [("4bit", 17e9, 0.03), ("4bit-again", 17e9, 0.03)],
    ],
)
def test_no_variants_name_covers_another(points: list[tuple[str, float, float]]) -> None:
    figure = drawing.variants_figure(points, "4bit")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [note.get_window_extent() for note in axes.texts]
    assert [note.get_text().count("★") for note in axes.texts].count(1) == 1
    assert len(boxes) == len({(nbytes, kl) for _, nbytes, kl in points})
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert box.x1 <= axes.bbox.x1 + 8
