"""Rows of a table of labels, read strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from autointerp.errors import AutointerpError
from autointerp.labeling.labelers.given import GivenLabel, RefusedLabel
from autointerp.tables import read_table

ReadLabels = Iterator[GivenLabel | RefusedLabel]
"""The labels of a file in their order; a refused one has the reason."""


def csv_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, Any] | RefusedLabel]]:
    """Yield each row's place and its cells by column, an empty cell as None, or why the row is refused.

    Raises:
        OSError: The file cannot be read.
        AutointerpError: It is no table, or a needed column is missing or there twice.
    """
    table = read_table(path, needed)
    for name in needed:
        if table.column(name) is None:
            raise AutointerpError(
                f"{path} has no column {name!r}; its columns: {', '.join(filter(None, table.header)) or 'none'}",
                f"its first line must name {', '.join(needed)}",
            )
    places = {name: table.column(name) for name in (header.lower() for header in table.header if header)}
    for row in table.rows:
        place = f"line {row.line}"
        if row.fault:
            yield place, RefusedLabel(place, row.fault)
        else:
            cells = {name: row.cells[column] for name, column in places.items() if column is not None}
            if table.delimiter == ";" and re.fullmatch(r"\s*\d+,\d+\s*", cells.get("confidence", "")):
                # Where Excel parts cells by semicolons, it writes numbers with a comma.
                cells["confidence"] = cells["confidence"].replace(",", ".")
            yield place, {name: unshielded(cell) if cell else None for name, cell in cells.items()}


def shielded(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula; `unshielded` undoes it."""
    return f"'{text}" if re.match(r"'*[=+\-@]", text) else text


def unshielded(text: str) -> str:
    """Return the text that was shielded."""
    return text[1:] if re.match(r"'+[=+\-@]", text) else text
