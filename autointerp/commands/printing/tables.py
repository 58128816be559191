"""Tables, cells and lines: the pieces of which all printed views are made."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence

import click

from autointerp.texts import visible


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns under their names. On a terminal, lines are cut to its width."""
    import shutil

    rows = [[visible(text) for text in row] for row in rows]
    widths = [max(columns(row[i]) for row in [names, *rows]) for i in range(len(names))]
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in [names, *rows]:
        padded = (text + " " * (width - columns(text)) for text, width in zip(row, widths, strict=True))
        line = "  ".join(padded).rstrip()
        click.echo(line if limit is None else _fitted(line, limit))


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a wide letter, none for a mark above another."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def _columns_of(c: str) -> int:
    if unicodedata.combining(c):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _fitted(line: str, limit: int) -> str:
    """Return a line cut to a number of columns, with a mark where it was cut."""
    if columns(line) <= limit:
        return line
    kept, taken = "", 0
    for c in line:
        taken += _columns_of(c)
        if taken >= limit:
            break
        kept += c
    return f"{kept}…"


def say(line: str) -> None:
    """Print a line; control characters in it are made visible, so that no stored text drives the terminal."""
    click.echo(visible(line))


def cell(value: float | str | None) -> str:
    """Return the text of a value in a table: `-` for None, three decimals for a float."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def share(value: float | None) -> str:
    """Return a part of 1 in percent, `-` for None."""
    return "-" if value is None else f"{value:.1%}"


def cut(text: str, width: int) -> str:
    """Return the text on one line of at most `width` characters."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def sparkline(counts: Sequence[int]) -> str:
    """Return counts as a row of blocks, the largest the highest; only a count of 0 has no block."""
    most = max(counts)
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // most)] for count in counts)
