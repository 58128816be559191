"""The plots of `experiment claims`: the figures that decide most of the claims, by what they are about."""

from __future__ import annotations

from collections.abc import Sequence

from autointerp.experiments.claims.catalogue import ATTRIBUTES, LAYOUT, STYLE
from autointerp.experiments.protocol import Figure, Plot, PlotLine

_EDITS = ("sae", "neurons", "patch", "random", "none", "prompt")
_READ = ("codes", "labels", "random", "places")
_PROBED = ("codes", "neurons", "random")
_PARTS = ("early third", "middle third", "late third")


def claim_plots(figures: Sequence[Figure]) -> list[Plot]:
    """Return the plots of the figures that claims were decided by; those of which nothing was measured are left out.

    Args:
        figures: The figures, whose names begin with the study's title and a colon.
    """
    titles = list(dict.fromkeys(figure.name.partition(": ")[0] for figure in figures))
    plots = [
        _bars(figures, "edits that succeed", [(one, f"{one}: success", "all kinds") for one in titles], _EDITS),
        _bars(
            figures, "edited pictures that are valid", [(one, f"{one}: valid", "all kinds") for one in titles], _EDITS
        ),
    ]
    for title in titles:
        plots.append(_transferred(figures, title))
        plots.append(_over_steps(figures, title))
        plots.append(_in_parts(figures, title))
        plots.append(_probed(figures, title))
    return [plot for plot in plots if plot.lines]


def _line(label: str, places: Sequence[str] | Sequence[float], found: Sequence[Figure | None]) -> list[PlotLine]:
    """Return a line, or none where nothing of it was measured."""
    if not any(found):
        return []
    values, low, high = (
        [None if one is None else getattr(one, end) for one in found] for end in ("value", "low", "high")
    )
    control = any(one is not None and one.control for one in found)
    return [PlotLine(label, places, values, low, high, control)]


def _at(figures: Sequence[Figure], name: str, group: str, way: str) -> Figure | None:
    return next((one for one in figures if (one.name, one.group, one.way) == (name, group, way)), None)


def _bars(figures: Sequence[Figure], title: str, of: Sequence[tuple[str, str, str]], ways: Sequence[str]) -> Plot:
    """Return bars over ways, a color for each study."""
    lines = []
    for label, name, group in of:
        found = [_at(figures, name, group, way) for way in ways]
        lines += [PlotLine(line.label, line.x, line.values, line.low, line.high) for line in _line(label, ways, found)]
    return Plot(title, "way of editing", "share", lines)


def _transferred(figures: Sequence[Figure], title: str) -> Plot:
    name = f"{title}: labels that stay true"
    lines = []
    for condition in dict.fromkeys(one.group.partition(": step ")[0] for one in figures if one.name == name):
        own = [one for one in figures if one.name == name and one.group.startswith(f"{condition}: ")]
        lines += _line(condition, [step / len(own) for step in range(len(own))], own)
    return Plot("labels of a one-step dictionary that stay true", "share of the steps that are done", "share", lines)


def _over_steps(figures: Sequence[Figure], title: str) -> Plot:
    name, lines = f"{title}: IoU of object", []
    for way in _READ:
        own = [one for one in figures if (one.name, one.way) == (name, way)]
        lines += _line(way, [float(one.group.rpartition(" ")[2]) for one in own], own)
    return Plot(f"{title}: where objects are", "step", "IoU with the finished picture", lines)


def _in_parts(figures: Sequence[Figure], title: str) -> Plot:
    lines = []
    for kind in (*STYLE, *LAYOUT):
        lines += _line(kind, _PARTS, [_at(figures, f"{title}: reached: {kind}", part, "sae") for part in _PARTS])
    return Plot(f"{title}: changed by features in a part of the run", "part of the run", "share reached", lines)


def _probed(figures: Sequence[Figure], title: str) -> Plot:
    name, lines = f"{title}: {ATTRIBUTES[0]}, best 8 inputs", []
    groups = [one.group for one in figures if one.name == name and one.group.startswith("mid, ")]
    for way in _PROBED:
        found = [
            _at(figures, f"{title}: {kind}, best 8 inputs", groups[-1], way) if groups else None for kind in ATTRIBUTES
        ]
        lines += _line(way, ATTRIBUTES, found)
    return Plot(f"{title}: told by the best 8 inputs", "attribute", "balanced accuracy", lines)
