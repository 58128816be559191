"""Plots show what was measured, and nothing where there is nothing."""

from __future__ import annotations

from autointerp.experiments.claims.plots import claim_plots
from autointerp.experiments.plots import draw_plots
from autointerp.experiments.protocol import Figure

TITLE = "shapes, 12 steps"


def figure(name: str, group: str, way: str, value: float, control: bool = False) -> Figure:
    return Figure(f"{TITLE}: {name}", group, way, value, value - 0.1, value + 0.1, 40, control)


def test_each_kind_of_figure_has_its_plot() -> None:
    figures = [
        *(figure("success", "all kinds", way, 0.5, way == "random") for way in ("sae", "patch", "random")),
        *(figure("IoU of object", f"mid, step {step}", "codes", 0.6) for step in range(3)),
        *(figure("reached: color", f"{part} third", "sae", 0.4) for part in ("early", "middle", "late")),
        *(figure("labels that stay true", f"shapes, 2 steps: step {step}", "dictionary", 0.4) for step in range(2)),
        figure("color, best 8 inputs", "mid, step 11", "codes", 0.9),
    ]
    plots = {plot.title: plot for plot in claim_plots(figures)}
    assert list(plots) == [
        "edits that succeed",
        "labels of a one-step dictionary that stay true",
        f"{TITLE}: where objects are",
        f"{TITLE}: changed by features in a part of the run",
        f"{TITLE}: told by the best 8 inputs",
    ]
    (bars,) = plots["edits that succeed"].lines
    # Ways that were not measured leave gaps, and a study's bars keep their color where a way is a control.
    assert list(bars.values) == [0.5, None, 0.5, 0.5, None, None]
    assert not bars.control
    (steps,) = plots[f"{TITLE}: where objects are"].lines
    assert list(steps.x) == [0.0, 1.0, 2.0]
    assert draw_plots(list(plots.values()))[:4] == b"\x89PNG"


def test_nothing_measured_is_nothing_drawn() -> None:
    assert claim_plots([]) == []
