"""The plot of an experiment, drawn by matplotlib (extra `plots`) as one PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from autointerp.experiments.protocol import Plot, PlotLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING = "no plot: matplotlib is not installed; pip install 'autointerp[plots]'"
_COLORS = ("#2563b0", "#c2410c", "#0f766e", "#7c3aed", "#b45309", "#be185d", "#4d7c0f", "#0369a1")
_CONTROL = "#6b7280"
_STYLES = ("--", ":", "-.")
_HATCHES = ("", "////", "....")
"""Lines and bars of controls are grey, and told apart by these."""
_MOST_COLUMNS = 3
_MOST_BARS = 40
"""Bars that fit into a third of a row."""
_MOST_INSIDE = 4
"""Lines whose names fit into the axes; those of more stand below, and those of bars, which would be covered."""
_BELOW, _BELOW_SLANTED = -0.16, -0.36
"""Where names stand below the axes, as a share of their height: the names of many bars are slanted, and take room."""
_NAN = float("nan")


def can_plot() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_plots(plots: Sequence[Plot]) -> bytes:
    """Draw plots side by side, at most three a row, and return the PNG; one of many bars has a row of its own."""
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    rows = _rows(plots)
    columns = max(map(len, rows))
    if columns == 1 and any(_is_wide(plot) for plot in plots):
        columns = _MOST_COLUMNS - 1
    # The settings of a user's matplotlib must not change a result.
    with matplotlib.style.context("default", after_reset=True):
        canvas = Canvas(figsize=(5.2 * columns, 3.9 * len(rows)), dpi=130, layout="constrained")
        FigureCanvasAgg(canvas)
        grid = canvas.add_gridspec(len(rows), columns)
        for number, row in enumerate(rows):
            for column, plot in enumerate(row):
                _draw(canvas.add_subplot(grid[number, :] if _is_wide(plot) else grid[number, column]), plot)
        buffer = io.BytesIO()
        # Names that stand below the last row would be cut off otherwise.
        canvas.savefig(buffer, format="png", metadata={"Software": None}, bbox_inches="tight")
    return buffer.getvalue()


def _is_wide(plot: Plot) -> bool:
    """Return whether a plot has too many bars for a third of a row."""
    names = {place for line in plot.lines for place in line.x if isinstance(place, str)}
    return len(names) * len(plot.lines) > _MOST_BARS


def _rows(plots: Sequence[Plot]) -> list[list[Plot]]:
    """Arrange plots in rows, in their order."""
    rows: list[list[Plot]] = []
    for plot in plots:
        fits = rows and len(rows[-1]) < _MOST_COLUMNS and not _is_wide(plot) and not _is_wide(rows[-1][-1])
        if fits:
            rows[-1].append(plot)
        else:
            rows.append([plot])
    return rows


def _draw(axes: Axes, plot: Plot) -> None:
    names = list(dict.fromkeys(str(place) for line in plot.lines for place in line.x))
    of_names = any(isinstance(place, str) for line in plot.lines for place in line.x)
    width = 0.8 / max(len(plot.lines), 1)
    plain = controls = 0
    for number, line in enumerate(plot.lines):
        hatch = ""
        if line.control:
            color, style, hatch = _CONTROL, _STYLES[controls % len(_STYLES)], _HATCHES[controls % len(_HATCHES)]
            controls += 1
        else:
            color, style = _COLORS[plain % len(_COLORS)], "-"
            plain += 1
        if of_names:
            places = [names.index(str(place)) + (number - (len(plot.lines) - 1) / 2) * width for place in line.x]
            values = [0.0 if value is None else value for value in line.values]
            alpha = 0.55 if line.control else 1.0
            axes.bar(places, values, width, label=line.label, color=color, alpha=alpha, hatch=hatch, edgecolor="white")
            if len(line.low):
                low, high = _ends(line)
                ends = [
                    [v - a for v, a in zip(values, low, strict=True)],
                    [b - v for v, b in zip(values, high, strict=True)],
                ]
                axes.errorbar(places, values, ends, fmt="none", ecolor="#1f2937", elinewidth=1, capsize=2)
        else:
            x = [float(place) for place in line.x]
            values = [_NAN if value is None else value for value in line.values]
            axes.plot(x, values, style, marker="o", markersize=3.5, color=color, label=line.label)
            if len(line.low):
                low, high = _ends(line)
                axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    if of_names:
        axes.set_xticks(
            range(len(names)), names, rotation=30 if len(names) > 4 else 0, ha="right" if len(names) > 4 else "center"
        )
    elif plot.doublings:
        from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(sorted({float(place) for line in plot.lines for place in line.x})))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
    elif all(float(place).is_integer() for line in plot.lines for place in line.x):
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(plot.title, fontsize=11)
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.grid(axis="y", color="#e5e7eb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(plot.lines) > _MOST_INSIDE or (of_names and len(plot.lines) > 1):
        below = _BELOW_SLANTED if of_names and len(names) > 4 else _BELOW
        axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, below), ncols=3)
    elif len(plot.lines) > 1:
        axes.legend(fontsize=8, frameon=False)


def _ends(line: PlotLine) -> tuple[list[float], list[float]]:
    """Return the ends of the intervals; where there is none, the value itself."""
    low = [v if a is None else a for a, v in zip(line.low, line.values, strict=True)]
    high = [v if b is None else b for b, v in zip(line.high, line.values, strict=True)]
    return [_NAN if a is None else a for a in low], [_NAN if b is None else b for b in high]
