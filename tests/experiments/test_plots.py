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
