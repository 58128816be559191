from __future__ import annotations

import io

import numpy as np
from PIL import Image

from autointerp.experiments.plots import draw_plots
from autointerp.experiments.protocol import Plot, PlotLine

LINES = [
    PlotLine("codes", [0, 1, 2], [0.2, None, 0.6], [0.1, None, 0.5], [0.3, None, 0.7]),
    PlotLine("random", [0, 1, 2], [0.1, 0.1, 0.1], control=True),
]


def picture(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), int)


def test_a_plot_shows_its_lines_and_is_the_same_every_time() -> None:
    plot = Plot("iou", "step", "iou", LINES)
    made = draw_plots([plot])
    assert made == draw_plots([plot])
    without = picture(draw_plots([Plot("iou", "step", "iou", LINES[1:])]))
    assert picture(made).shape == without.shape
    assert np.abs(picture(made) - without).sum() > 0


def test_bars_and_many_plots_take_more_room() -> None:
    bars = Plot("edits", "kind", "share", [PlotLine("sae", ["color", "size"], [0.4, 0.2], [0.3, 0.1], [0.5, 0.3])])
    one, four = picture(draw_plots([bars])), picture(draw_plots([bars] * 4))
    assert four.shape[0] > 1.8 * one.shape[0]
    assert four.shape[1] > 2.5 * one.shape[1]


def test_a_plot_of_many_bars_has_a_row_of_its_own() -> None:
    from autointerp.experiments.plots import _rows

    kinds = [str(n) for n in range(10)]
    few, many = Plot("a", "x", "y", LINES), Plot("b", "x", "y", [PlotLine(str(n), kinds, [0.5] * 10) for n in range(5)])
    assert [[plot.title for plot in row] for row in _rows([few, few, many, few])] == [["a", "a"], ["b"], ["a"]]


def test_numbers_of_features_are_drawn_a_doubling_apart() -> None:
    from matplotlib.figure import Figure

    from autointerp.experiments.plots import _draw

    axes = Figure().subplots()
    _draw(axes, Plot("curve", "features", "share", [PlotLine("sae", [1, 8, 32, 128], [0.1, 0.2, 0.3, 0.4])], True))
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert ticks == ["1", "8", "32", "128"]
    places = axes.transData.transform([(x, 0) for x in (1, 8, 32, 128)])[:, 0]
    assert abs(np.diff(places)[1] - np.diff(places)[2]) < 1e-6
    assert np.diff(places)[0] > np.diff(places)[1]


def test_names_of_bars_stand_below_them() -> None:
    from matplotlib.figure import Figure

    from autointerp.experiments.plots import _draw

    axes = Figure().subplots()
    kinds = ["color", "shape", "texture", "size", "background"]
    _draw(axes, Plot("edits", "kind", "share", [PlotLine(way, kinds, [0.5] * 5) for way in ("sae", "patch")]))
    axes.figure.canvas.draw()
    assert axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0
