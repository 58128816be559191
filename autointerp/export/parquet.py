"""Parquet files: tables of labels, and the rows of a database that a bundle carries.

The ids in a file of rows are those of the database that it was written from. They only serve to tell which rows of the
same bundle refer to each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autointerp.errors import AutointerpError
from autointerp.export.rows import ExportRow

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 2_000
_AGAIN = "copy or export it again"

Type = Literal["int", "float", "text", "bool", "bytes", "json", "time"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its name.
        type: The type of its values.
        null: True where a value may be missing.
        refers: The table whose ids the column holds, if any.
    """

    name: str
    type: Type
    null: bool = False
    refers: str | None = None


@dataclass(frozen=True)
class Table:
    """A table with its columns, one of which is `id`; its rows are iterated once."""

    name: str
    columns: tuple[Column, ...]
    rows: Iterable[Mapping[str, Any]]


def _arrow(kind: Type) -> pa.DataType:
    """Return the Arrow type of a column."""
    import pyarrow as pa

    types = {
        "int": pa.int64(),
        "float": pa.float64(),
        "text": pa.string(),
        "bool": pa.bool_(),
        "bytes": pa.binary(),
        "json": pa.string(),
        "time": pa.timestamp("us"),
    }
    return types[kind]


def write_rows(table: Table, path: Path) -> int:
    """Write the rows of a table, a few in memory at a time; return how many."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([pa.field(c.name, _arrow(c.type), c.null) for c in table.columns])
    rows, count = iter(table.rows), 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while part := list(islice(rows, _ROWS)):
            arrays = [pa.array([_plain(row[c.name], c.type) for row in part], _arrow(c.type)) for c in table.columns]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(part)
    return count


def _plain(value: Any, kind: Type) -> Any:
    """Return a value as Arrow takes it: JSON as text, a moment without its zone, which is UTC."""
    if value is None:
        return None
    if kind == "json":
        return json.dumps(value)
    return value.replace(tzinfo=None) if kind == "time" else value


def read_rows(path: Path, columns: Sequence[Column]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a file, a few at a time.

    Args:
        path: The file.
        columns: The columns to read. Those that the file lacks are left out, and so are other columns of the file.

    Raises:
        AutointerpError: The file is no Parquet file, or a value does not have the type of its column.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            there = set(file.schema_arrow.names)
            known = [c for c in columns if c.name in there]
            for batch in file.iter_batches(_ROWS, columns=[c.name for c in known]):
                values = [_values(batch.column(c.name).cast(_arrow(c.type)), c) for c in known]
                yield [dict(zip((c.name for c in known), row, strict=True)) for row in zip(*values, strict=True)]
    except (pa.ArrowException, ValueError, OSError) as error:
        said = (str(error).splitlines() or ["it is empty"])[0][:160]
        raise AutointerpError(f"{path} cannot be read: {said}", _AGAIN) from error


def _values(array: Any, column: Column) -> list[Any]:
    """Return the values of a column; ValueError where one is missing or is no JSON."""
    values: list[Any] = array.to_pylist()
    if not column.null and any(value is None for value in values):
        raise ValueError(f"{column.name} is missing in a row")
    if column.type == "json":
        values = [None if value is None else json.loads(value) for value in values]
        if any(not isinstance(value, dict | list | None) for value in values):
            raise ValueError(f"{column.name} is no object in a row")
    return values


def check_rows(folder: Path, tables: Mapping[str, Sequence[Column]]) -> None:
    """Read every file of rows once, and check that ids are unique and that references lead to a row.

    Args:
        folder: The folder with a file `NAME.parquet` for each table.
        tables: Name -> columns, each table after those that it refers to.

    Raises:
        AutointerpError: A file cannot be read, or its rows do not fit together.
    """
    ids: dict[str, set[int]] = {}
    for name, columns in tables.items():
        path = folder / f"{name}.parquet"
        mine = ids.setdefault(name, set())
        for part in read_rows(path, columns):
            for row in part:
                if "id" not in row or row["id"] in mine:
                    raise AutointerpError(f"{path} has rows without an id of their own", _AGAIN)
                mine.add(row["id"])
                for column in columns:
                    target = row.get(column.name)
                    if column.refers and target is not None and target not in ids[column.refers]:
                        raise AutointerpError(f"{path} refers to rows of {column.refers} that are not there", _AGAIN)


def write_label_table(rows: Iterable[ExportRow], path: Path) -> int:
    """Write labels with the columns of `labels.jsonl` except `extra`; return how many rows there are."""
    import pyarrow as pa
    from pyarrow import parquet

    score = pa.struct(
        [("method", pa.string()), ("value", pa.float64()), ("ci_low", pa.float64()), ("ci_high", pa.float64())]
    )
    texts = ("name", "explanation", "status", "labeler", "state", "difference", "name_before")
    figures = ("confidence", "density", "max_activation", "mean_activation")
    schema = pa.schema(
        [
            ("index", pa.int64()),
            *((name, pa.string()) for name in texts),
            *((name, pa.float64()) for name in figures),
            ("told_apart_from", pa.list_(pa.int64())),
            ("same_as", pa.list_(pa.int64())),
            ("scores", pa.list_(score)),
        ]
    )
    values = [row.model_dump(exclude={"extra"}) for row in rows]
    # Of a path, pyarrow wants text; the name of a file may be no text.
    with path.open("wb") as file:
        parquet.write_table(pa.Table.from_pylist(values, schema), file, compression="zstd")
    return len(values)


def read_label_table(path: Path) -> list[ExportRow]:
    """Read the rows that `write_label_table` wrote."""
    from pyarrow import parquet

    return [ExportRow.model_validate(row) for row in parquet.read_table(path).to_pylist()]
