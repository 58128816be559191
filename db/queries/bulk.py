"""Many rows at once: inserting them, and asking for them by lists of ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert, text
from sqlalchemy.orm import Session

from autointerp.db.models import Base

CHUNK = 500
"""Ids in one IN clause: SQLite takes at least 999 parameters."""


def insert_many(session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert plain rows fast; defaults of the models hold, ids do not come back."""
    if rows:
        session.execute(insert(model.__table__), [dict(row) for row in rows])  # type: ignore[arg-type]


def chunks(ids: Iterable[int], size: int = CHUNK) -> Iterable[list[int]]:
    """The ids in lists short enough for one IN clause."""
    listed = list(ids)
    return (listed[i : i + size] for i in range(0, len(listed), size))


def set_sequence(connection: Connection, table: Table) -> None:
    """Let the next new id follow the largest one, after rows were inserted with their ids; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(
        text(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name} HAVING max(id) > 0"
        )
    )
