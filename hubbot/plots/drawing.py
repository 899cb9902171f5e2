"""Draw the pictures of card and page in a child process, from report.json alone; without matplotlib none.

The colours are readable on light pages and on dark ones; each picture stays below 100 kB.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hubbot import plain_json
from hubbot.catalogue.variants.tiers import recommended_of
from hubbot.files.sizes import readable
from hubbot.finishing import PICTURES
from hubbot.progress import Progress

VARIANTS, LAYERS, EXPERTS = PICTURES
MOST_BYTES = 100_000
PAPER, INK, SOFT, LINE, ACCENT, OTHER = "#fbfaf7", "#1d1f21", "#5d6166", "#d9d5cc", "#0b6e69", "#b0651e"
WIDE, HIGH, DOTS = 7.0, 3.4, 110
# Half of a point's dot in pixels, and how far above a point its note may stand, in points, the best first.
DOT = 6.0
NOTE_HEIGHTS = (5, -14, 19, -28, 33, -42)
# Layers and experts beyond these are drawn together.
MOST_CELLS = (96, 256)


def is_possible() -> bool:
    """Say whether pictures can be drawn here."""
    return find_spec("matplotlib") is not None


def prepare() -> None:
    """Load matplotlib in a thread, beside work that leaves a core free: it takes half a second."""
    if is_possible():
        threading.Thread(target=_figure_class, name="matplotlib", daemon=True).start()


def draw(request: dict[str, Any], progress: Progress) -> Mapping[str, Any]:
    """Draw what the reports `request["reports"]` (paths) tell into each of `request["folders"]` (variant -> path).

    Returns {"drawn": the number of pictures}; a picture whose numbers were not measured is not drawn.
    """
    reports = [plain_json.loads(Path(path).read_bytes()) for path in request["reports"]]
    drawn = 0
    for done, (variant, folder) in enumerate(request["folders"].items()):
        progress(done, len(request["folders"]), variant)
        own = next((item for item in reports if item["artifact"]["variant"] == variant), None)
        for name, figure in _figures(reports, own, variant):
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            _save(figure, path)
            drawn += 1
    return {"drawn": drawn}


def _figures(reports: Sequence[Any], own: Any, variant: str) -> list[tuple[str, Any]]:
    found = []
    points = [point for point in map(_point, reports) if point is not None]
    if points:
        found.append((VARIANTS, variants_figure(points, variant)))
    cosines = (own or {}).get("measurements", {}).get("layer_cosines") or []
    if len(cosines) > 1 and min(cosines) < 1:
        found.append((LAYERS, layers_figure(cosines)))
    uses = ((own or {}).get("smoke") or {}).get("utilisation") or []
    if uses:
        found.append((EXPERTS, experts_figure(uses)))
    return found


def _point(report: Any) -> tuple[str, float, float] | None:
    """Return name, bytes and mean KL divergence of a variant, None where that was not measured."""
    measured = (report.get("measurements") or {}).get("divergence")
    text = (report.get("measurements") or {}).get("text") or {}
    tiers = [one["status"] for one in report.get("findings") or () if one["check"] == "tier"]
    # A text that the model does not know tells nothing of it.
    if not measured or not text.get("is_text") or not {"pass", "fail"} & set(tiers):
        return None
    return report["artifact"]["variant"], float(report["artifact"]["nbytes"]), float(measured["kl_mean"]["value"])


def variants_figure(points: Sequence[tuple[str, float, float]], variant: str) -> Any:
    """Return size against mean KL divergence of (name, bytes, nats); the latter logarithmic.

    The dot of `variant` has another colour, the one to recommend a star.
    """
    figure, axes = _axes("Size and nearness to the unquantized model (★ recommended)")
    best = recommended_of([(nbytes, kl) for _, nbytes, kl in points])
    least = min((kl for _, _, kl in points if kl > 0), default=1e-4) / 2
    for name, nbytes, kl in points:
        colour = ACCENT if name == variant else OTHER
        axes.scatter([nbytes], [max(kl, least)], s=70, color=colour, zorder=3)
    largest = max(nbytes for _, nbytes, _ in points)
    axes.set_yscale("log")
    axes.margins(y=0.25)
    # To the right of the largest there is room for its name.
    axes.set_xlim(0, 1.35 * largest)
    axes.xaxis.set_major_formatter(lambda value, _: readable(value).replace(".00", ""))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda *_: "")
    axes.set_xlabel("size of the weights")
    axes.set_ylabel("mean KL divergence (nats)")
    # Two variants may be one point.
    names: dict[tuple[float, float], list[str]] = {}
    for number, (name, nbytes, kl) in enumerate(points):
        names.setdefault((nbytes, kl), []).append(f"{name} ★" if number == best else name)
    _write_beside(
        figure,
        axes,
        {
            (nbytes, max(kl, least)): f"{', '.join(alike)}, {readable(nbytes)}" + ("" if kl > 0 else " (KL 0)")
            for (nbytes, kl), alike in names.items()
        },
    )
    return figure


def _write_beside(figure: Any, axes: Any, notes: Mapping[tuple[float, float], str]) -> None:
    """Write a note beside each point, above or below it, so that none covers another or a point."""
    # Where a note comes to lie is known once the axes have their size.
    figure.draw_without_rendering()
    taken = [_box_around(axes, point) for point in notes]
    for point, words in sorted(notes.items()):
        note = axes.annotate(words, point, xytext=(9, 5), textcoords="offset points", color=INK)
        if note.get_window_extent().x1 > axes.bbox.x1:
            note.set_horizontalalignment("right")
        for height in NOTE_HEIGHTS:
            note.xyann = (9 if note.get_horizontalalignment() == "left" else -9, height)
            box = note.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def _box_around(axes: Any, point: tuple[float, float]) -> Any:
    """Return the box, in pixels, that a point's dot covers."""
    from matplotlib.transforms import Bbox  # noqa: PLC0415 - the bot itself never imports it

    x, y = axes.transData.transform(point)
    return Bbox.from_extents(x - DOT, y - DOT, x + DOT, y + DOT)


def layers_figure(cosines: Sequence[float]) -> Any:
    """Return by layer, counted from 1, how far the hidden states are from the unquantized model's: 1 - cosine."""
    figure, axes = _axes("Drift of the hidden states")
    axes.plot(
        range(1, len(cosines) + 1), [max(0.0, 1 - value) for value in cosines], color=ACCENT, marker="o", ms=4
    )
    axes.set_ylim(bottom=0)
    _count(axes.xaxis)
    axes.set_xlabel("layer")
    axes.set_ylabel("1 - mean cosine")
    return figure


def experts_figure(uses: Sequence[Mapping[str, Any]]) -> Any:
    """Return how often each expert of each layer was chosen, as a heat map of its share against an even one."""
    import numpy as np  # noqa: PLC0415 - beside matplotlib, in the child alone

    width = max(len(use["counts"]) for use in uses)
    shares = np.zeros((len(uses), width))
    for row, use in enumerate(uses):
        counts = np.asarray(use["counts"], dtype=float)
        shares[row, : len(counts)] = counts * len(counts) / max(1.0, counts.sum())
    shares = _thinned(_thinned(shares, MOST_CELLS[0]).T, MOST_CELLS[1]).T
    figure, axes = _axes("How often each expert was chosen while it answered")
    image = axes.imshow(shares, aspect="auto", cmap=_shades(), vmin=0, vmax=max(2.0, float(shares.max())))
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label("times an even share", color=SOFT)
    bar.ax.tick_params(colors=SOFT)
    axes.grid(visible=False)
    _count(axes.xaxis)
    _count(axes.yaxis)
    axes.set_xlabel(f"expert (of {width})")
    axes.set_ylabel(f"layer (of {len(uses)})")
    return figure


def _shades() -> Any:
    """Return the colours of a heat map, from the paper's to the darkest: turned over, from dark to light."""
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415 - the bot itself never imports it

    return LinearSegmentedColormap.from_list("shades", ["#f3f1ea", "#8cc3bd", ACCENT, "#052f2d"])


def _count(axis: Any) -> None:
    """Let an axis name whole numbers only: there is no layer 1.5."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - the bot itself never imports it

    axis.set_major_locator(MaxNLocator(integer=True))


def _thinned(values: Any, most: int) -> Any:
    """Return at most `most` rows, each the mean of those that it stands for."""
    step = -(-len(values) // most)
    return values if step <= 1 else _means(values, step)


def _means(values: Any, step: int) -> Any:
    import numpy as np  # noqa: PLC0415 - beside matplotlib, in the child alone

    return np.stack([values[start : start + step].mean(axis=0) for start in range(0, len(values), step)])


def _figure_class() -> Any:
    # Asked for before the first import of matplotlib, which would look for a display otherwise.
    os.environ["MPLBACKEND"] = "agg"
    from matplotlib.figure import Figure  # noqa: PLC0415 - the bot itself never imports it

    return Figure


def _axes(title: str) -> tuple[Any, Any]:
    figure = _figure_class()(figsize=(WIDE, HIGH), dpi=DOTS, layout="constrained", facecolor=PAPER)
    axes = figure.add_subplot(facecolor=PAPER)
    axes.set_title(title, color=INK, loc="left", fontsize=11)
    axes.tick_params(colors=SOFT)
    axes.grid(visible=True, color=LINE, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(LINE)
    axes.xaxis.label.set_color(SOFT)
    axes.yaxis.label.set_color(SOFT)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    # Without the program's version, equal reports give equal bytes for longer.
    figure.savefig(path, format="png", metadata={"Software": None})
    if path.stat().st_size > MOST_BYTES:
        figure.savefig(path, format="png", dpi=DOTS * 0.6, metadata={"Software": None})
