"""Figures of an experiment for people: a table for each name, with controls in brackets of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autointerp.commands.printing.tables import say, table
from autointerp.views.figures import figure_text, tables_of

if TYPE_CHECKING:
    from autointerp.experiments.protocol import Figure


def print_figures(figures: Sequence[Figure]) -> None:
    """Print all figures of an experiment."""
    for number, one in enumerate(tables_of(figures)):
        if number:
            say("")
        ways = [f"{way} (control)" if way in one.controls else way for way in one.ways]
        rows = []
        for group, cells in zip(one.groups, one.cells, strict=True):
            count = max((figure.n for figure in cells if figure is not None), default=0)
            rows.append((group, *map(figure_text, cells), str(count)))
        table((one.name, *ways, "n"), rows)
