"""The rows of a database inside a bundle: a Parquet file for each table that `db/queries/carrying.py` carries."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.db.queries.carrying import CarriedColumn
from autointerp.db.upgrade import HEAD
from autointerp.errors import AutointerpError
from autointerp.export.bundle import ROWS, LabeledBundle
from autointerp.export.parquet import Column, Table, check_rows, read_rows

if TYPE_CHECKING:
    from autointerp.db import Session


@dataclass(frozen=True)
class CarriedDictionary:
    """The row of a dictionary in the database that its bundle was exported from."""

    name: str
    identity: str
    kind: str
    model: str
    layer: str
    hookpoint: str
    signal: str
    stream: str
    d_in: int
    num_latents: int
    k: int | None
    weights_sha256: str


def _columns(carried: tuple[CarriedColumn, ...]) -> tuple[Column, ...]:
    """Return a table's columns as the writer of Parquet files knows them."""
    return tuple(Column(one.name, one.type, one.null, one.refers) for one in carried)


COLUMNS: dict[str, tuple[Column, ...]] = {
    table: _columns(carried) for table, carried in queries.carrying.COLUMNS.items()
}
"""Table -> its columns in the file, each table after those that it refers to."""
_SINCE = {"base_rates": "0007", "cells": "0008"}
"""The schema that brought a table; a bundle of an earlier one lacks its file."""


def tables_of(session: Session, dictionary_id: int, labels: Collection[int] | None = None) -> Iterator[Table]:
    """Yield the tables of a dictionary for a bundle; see `queries.carrying.tables_of`."""
    for table in queries.carrying.tables_of(session, dictionary_id, labels):
        yield Table(table.name, COLUMNS[table.name], table.rows)


def read_carried_dictionary(bundle: LabeledBundle, kind: str, d_in: int, num_latents: int) -> CarriedDictionary:
    """Check the rows of a bundle, each once, and return the row of its dictionary.

    Args:
        bundle: A bundle that carries rows.
        kind: The kind of the dictionary whose weights are in the bundle.
        d_in: Its width.
        num_latents: Its number of latents.

    Raises:
        AutointerpError: The rows are of a newer schema, do not fit together, or belong to another dictionary.
    """
    if bundle.schema > HEAD:
        raise AutointerpError(
            f"the bundle {bundle.path} has rows of schema {bundle.schema}; this autointerp has {HEAD}",
            "upgrade autointerp",
        )
    broken = (f"the rows of the bundle {bundle.path} are of another dictionary", "export it again")
    absent = COLUMNS.keys() - bundle.counts.keys()
    if not bundle.counts.keys() <= COLUMNS.keys() or bundle.counts.get("dictionaries") != 1:
        raise AutointerpError(*broken)
    if any(bundle.schema >= _SINCE.get(table, "") for table in absent):
        raise AutointerpError(*broken)
    folder = bundle.path / ROWS
    check_rows(folder, {table: columns for table, columns in COLUMNS.items() if table not in absent})
    ((row,),) = read_rows(folder / "dictionaries.parquet", COLUMNS["dictionaries"])
    carried = CarriedDictionary(**{name: row[name] for name in CarriedDictionary.__dataclass_fields__})
    said = (carried.kind, carried.d_in, carried.num_latents, carried.weights_sha256)
    if said != (kind, d_in, num_latents, bundle.files["weights.safetensors"]):
        raise AutointerpError(*broken)
    if PurePath(carried.name).name != carried.name or not carried.name.isprintable():
        raise AutointerpError(f"the bundle {bundle.path} has a name that is no folder's", "do not use it")
    return carried


def restore_rows(session: Session, bundle: Path, name: str) -> int:
    """Store the checked rows of a bundle in the caller's transaction; return the dictionary's new id.

    Args:
        session: A session of a database that no other process writes to meanwhile.
        bundle: The folder of the bundle.
        name: The dictionary's name in this workspace.

    Raises:
        InconsistentRows: A row breaks a constraint of the database.
    """
    folder = bundle / ROWS

    def read(table: str) -> Iterator[list[dict[str, Any]]]:
        path = folder / f"{table}.parquet"
        # The manifest was checked, so only a table that is younger than the bundle has no file.
        return read_rows(path, COLUMNS[table]) if path.exists() else iter(())

    return queries.carrying.restore(session, read, name)
