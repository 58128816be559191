"""Exports of labels alone, as JSON lines or as a Parquet table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.export.parquet import write_label_table
from autointerp.export.rows import ExportRow, write_lines
from autointerp.export.single import write_file
from autointerp.transfer.exporting.formats import ExportRequest
from autointerp.views.labeled import export_rows

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow
    from autointerp.project.context import Context


def export_jsonl(ctx: Context, rows: Sequence[DictionaryRow], request: ExportRequest) -> Path:
    """Write the labels of one dictionary as JSON lines; see `ExportWriter`."""
    return _export_table(ctx, rows, request, write_lines)


def export_parquet(ctx: Context, rows: Sequence[DictionaryRow], request: ExportRequest) -> Path:
    """Write the labels of one dictionary as a Parquet table; see `ExportWriter`."""
    return _export_table(ctx, rows, request, write_label_table)


def _export_table(
    ctx: Context,
    rows: Sequence[DictionaryRow],
    request: ExportRequest,
    write: Callable[[Iterable[ExportRow], Path], int],
) -> Path:
    (row,) = rows
    labels = export_rows(ctx, row, request.min_score, request.labelers)
    return write_file(table_path(request.out, request.form), lambda path: write(labels, path))


def table_path(out: Path, form: str) -> Path:
    """Return the file that a table is written to: `out` itself if its name says so, else a file in the folder `out`.

    >>> table_path(Path("red.jsonl"), "jsonl").as_posix()
    'red.jsonl'
    >>> table_path(Path("red"), "jsonl").as_posix()
    'red/labels.jsonl'
    """
    is_file = out.suffix.lower() == f".{form}" and not out.is_dir()
    return out if is_file else out / f"labels.{form}"
