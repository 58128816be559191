"""Tables as text (CSV, TSV, and what spreadsheets write), read strictly, for prompts, captions and labels alike.

The delimiter is the one by which the first line names the wanted columns. A row of another width than the first line is
never half used: it has a fault, which the caller reports with its line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autointerp.errors import AutointerpError
from autointerp.text_files import read_text

SUFFIXES = (".csv", ".tsv", ".tab")
"""Suffixes of files that are read as tables."""
_DELIMITERS = (",", ";", "\t", "|")
QUOTE_HINT = 'put a text that holds the delimiter into quotes: "a cup, red"'


class TableRow(NamedTuple):
    """A row of a table.

    Attributes:
        line: The line on which it begins.
        cells: Its cells, as many as the first line names.
        fault: Why the row cannot be used; empty where it can.
    """

    line: int
    cells: tuple[str, ...]
    fault: str = ""


@dataclass(frozen=True)
class TextTable:
    """A table with a first line that names its columns.

    Attributes:
        named: What errors call the file.
        header: The names of the columns; an empty one names nothing.
        delimiter: What stands between cells.
        rows: The rows, without blank ones.
    """

    named: str
    header: tuple[str, ...]
    delimiter: str
    rows: tuple[TableRow, ...]

    def column(self, *names: str) -> int | None:
        """Return the number of the first of these columns that there is, whatever its case; None where there is none.

        Raises:
            AutointerpError: The first line names that column twice.
        """
        known = [name.lower() for name in self.header]
        for name in names:
            if known.count(name.lower()) > 1:
                raise AutointerpError(f"{self.named} names the column {name!r} twice", "rename one of the two")
            if name.lower() in known:
                return known.index(name.lower())
        return None

    def whole_rows(self) -> Iterator[TableRow]:
        """Iterate over the rows.

        Raises:
            AutointerpError: A row has a fault; the message names its line.
        """
        for row in self.rows:
            if row.fault:
                raise AutointerpError(f"{self.named}, line {row.line}: {row.fault}", QUOTE_HINT)
            yield row


def read_table(path: Path, wanted: Sequence[str], named: str = "") -> TextTable:
    """Read a table of a file; see `parse_table`.

    Raises:
        OSError: The file cannot be read.
        AutointerpError: It is no text, or no table.
    """
    named = named or str(path)
    likely = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    return parse_table(read_text(path, named), named, wanted, likely)


def parse_table(text: str, named: str, wanted: Sequence[str], likely: str = ",") -> TextTable:
    """Read a table.

    A first line `sep=;`, as Excel writes it, names the delimiter. Blank rows, and blank cells beyond the last column,
    do not count.

    Args:
        text: The file's content.
        named: What errors call the file.
        wanted: Names of columns by which the delimiter is found, whatever their case.
        likely: The delimiter where several fit alike.

    Raises:
        AutointerpError: A quote does not close, or a quoted cell goes on behind its quote.
    """
    skipped = 0
    delimiters = [likely, *(one for one in _DELIMITERS if one != likely)]
    if said := re.match(r"\ufeff?\"?sep=(.)\"?\r?\n", text):
        text, skipped, delimiters = text[said.end() :], 1, [said[1]]
    names = {name.lower() for name in wanted}

    def fitness(delimiter: str) -> tuple[int, int]:
        header = _header(text, delimiter)
        return len(names & {name.lower() for name in header}), len(header)

    delimiter = max(delimiters, key=fitness)  # The first of equals.
    records = _records(text, named, delimiter, skipped)
    _, header = next(records, (0, []))
    header = [name.strip() for name in header]
    while header and not header[-1]:
        header.pop()
    rows = tuple(_row(line, cells, header) for line, cells in records)
    return TextTable(named, tuple(header), delimiter, rows)


def _header(text: str, delimiter: str) -> list[str]:
    """Return the first row that is not blank, by a delimiter; none where it cannot be read."""
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True):
            if any(cell.strip() for cell in cells):
                return [cell.strip() for cell in cells]
    except csv.Error:
        pass
    return []


def _records(text: str, named: str, delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Iterate over (line on which it begins, cells) of the rows that are not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        line = reader.line_num + 1 + skipped
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            what = "a quote opens there and does not close" if "end of data" in str(error) else str(error)
            raise AutointerpError(
                f"{named} is no CSV: line {line}: {what}", "close or double the quotes there"
            ) from None
        if any(cell.strip() for cell in cells):
            yield line, cells


def _row(line: int, cells: list[str], header: Sequence[str]) -> TableRow:
    """Return a row of the header's width, or one with a fault."""
    while len(cells) > len(header) and not cells[-1].strip():
        cells = cells[:-1]
    fault = ""
    if len(cells) != len(header):
        fault = f"it has {'more' if len(cells) > len(header) else 'fewer'} cells than the first line has columns"
    return TableRow(line, tuple(cells), fault)
