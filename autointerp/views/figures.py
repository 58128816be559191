"""Figures of experiments and their tables: one a name, with rows of groups and columns of ways, controls last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One figure of an experiment: a row of its table.

    Attributes:
        name: What was measured, such as `fvu`.
        group: Where: a step, a layer, a kind of edit.
        way: How: `codes`, `raw`, `random`, `none`, `prompt`.
        value: The figure; None where nothing could be measured.
        low: Lower end of the 95% interval; None where there is none.
        high: Upper end of it.
        n: The number of independent pictures, cases or features behind it.
        control: Whether the way is a control, which shows what the figure is worth.
    """

    name: str
    group: str
    way: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    control: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the row as `--json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class FigureTable:
    """The figures of one name.

    Attributes:
        name: What was measured.
        ways: The columns, controls last.
        controls: Those of the ways that are controls.
        groups: The rows.
        cells: The figures of each row; None where a way has none.
    """

    name: str
    ways: tuple[str, ...]
    controls: frozenset[str]
    groups: tuple[str, ...]
    cells: tuple[tuple[Figure | None, ...], ...]


def tables_of(figures: Sequence[Figure]) -> list[FigureTable]:
    """Arrange figures; names, groups and ways keep the order in which they first come."""
    found = []
    for name in dict.fromkeys(figure.name for figure in figures):
        own = [figure for figure in figures if figure.name == name]
        controls = frozenset(figure.way for figure in own if figure.control)
        ways = sorted(dict.fromkeys(figure.way for figure in own), key=lambda way: way in controls)
        groups = tuple(dict.fromkeys(figure.group for figure in own))
        at = {(figure.group, figure.way): figure for figure in own}
        cells = tuple(tuple(at.get((group, way)) for way in ways) for group in groups)
        found.append(FigureTable(name, tuple(ways), controls, groups, cells))
    return found


def figure_text(figure: Figure | None) -> str:
    """Return a figure with its interval, such as `0.412 (0.390 to 0.431)`; `-` where there is none."""
    if figure is None or figure.value is None:
        return "-"
    text = number_text(figure.value)
    if figure.low is None or figure.high is None:
        return text
    return f"{text} ({number_text(figure.low)} to {number_text(figure.high)})"


def number_text(value: float) -> str:
    """Return a number with three digits behind the point, or fewer where it is large."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"
