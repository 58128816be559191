"""Rows of a single file: a table as text, or a Parquet file. Neither needs the library `datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autointerp.diffusion.sources.lines import TEXT_KEYS
from autointerp.errors import AutointerpError
from autointerp.filetypes import PARQUET_TABLE, text_type_of
from autointerp.tables import SUFFIXES, read_table

PARQUET = ".parquet"


class TableRows:
    """The rows of a table as text, checked when it is opened.

    Args:
        path: The file.

    Raises:
        AutointerpError: The file is no table, or a row has another width than the first line.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.table = read_table(path, TEXT_KEYS)
        except OSError as error:
            raise AutointerpError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
        self._rows = list(self.table.whole_rows())
        self.column_names = list(self.table.header)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self._rows:
            yield dict(zip(self.column_names, row.cells, strict=True))


class ParquetRows:
    """The rows of a Parquet file, read a batch at a time.

    Args:
        path: The file.
        columns: The columns to read; all if None.

    Raises:
        AutointerpError: The file is no Parquet file.
    """

    def __init__(self, path: Path, columns: list[str] | None = None) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path, self.columns = path, columns
        try:
            with pq.ParquetFile(path) as file:
                self._count = int(file.metadata.num_rows)
                self.column_names = list(file.schema_arrow.names)
        except (pa.ArrowException, OSError) as error:
            found = text_type_of(path)
            is_other = found is not None and found != PARQUET_TABLE
            reason = f"it is {found.name}" if found and is_other else " ".join(str(error).split())[:200]
            hint = found.text_hint if found and is_other else "fetch or write it again"
            raise AutointerpError(f"the Parquet file {path} cannot be read: {reason}", hint) from None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(1024, columns=self.columns):
                yield from batch.to_pylist()

    def only(self, column: str) -> ParquetRows:
        """Return the same rows with one column, so that pictures beside it are not read; all where it is not there."""
        return ParquetRows(self.path, [column]) if column in self.column_names else self


def open_rows(path: Path) -> TableRows | ParquetRows | None:
    """Open the rows of a file; None where its name shows neither a table nor a Parquet file.

    Raises:
        AutointerpError: The file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return TableRows(path)
    return ParquetRows(path) if suffix == PARQUET else None
