"""All rows of one database into another, empty one, of the same or the other kind: whole or not at all.

The source is read in one snapshot and the target is written in one transaction, so a copy that is stopped leaves
nothing, and whoever writes to the source meanwhile changes nothing in it. Rows go through the models' types, a chunk
at a time, so values are equal on both sides and memory is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, func, insert, inspect, select, text

from autointerp.db import models
from autointerp.db.base import Base
from autointerp.db.errors import DatabaseError
from autointerp.db.words import prompts_indexed_once

if TYPE_CHECKING:
    from autointerp.db.engine import Database

_CHUNK = 2_000
_CHUNKS = {models.Image.__tablename__: 100, models.Checkpoint.__tablename__: 1}
"""Rows in memory at a time; pictures are tens of kB each, and a piece of a checkpoint may be some MB."""


def tables() -> list[Table]:
    """Every table, each after those that it refers to."""
    return list(Base.metadata.sorted_tables)


def count_rows(database: Database) -> int:
    """Rows of all tables together."""
    with database.session() as session:
        return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in tables())


def check_empty(target: Database) -> None:
    """Raise `DatabaseError` unless nothing is in the target, or the empty tables of this project alone."""
    with target.session() as session:
        present = set(inspect(session.connection()).get_table_names())
        if not present:
            return
        if "alembic_version" not in present:
            raise DatabaseError(f"{target.where} holds another program's tables", "name an empty database")
        for table in tables():
            if table.name in present and session.execute(select(table.c.id).limit(1)).first() is not None:
                raise DatabaseError(f"{target.where} is not empty: {table.name} has rows", "name an empty database")


def copy_rows(source: Database, target: Database, advance: Callable[[int, str], None] = lambda n, table: None) -> None:
    """Copy every row of `source` into `target`, which is made or upgraded first.

    Args:
        source: Of this code's schema.
        target: Empty.
        advance: Called with the number of rows written and their table, after each chunk.

    Raises:
        DatabaseError: The target is not empty, or either fails; then the target holds no row.
    """
    check_empty(target)
    target.upgrade()
    with _snapshot(source) as reading, target.session() as session:
        writing = session.connection()
        dictionaries = list(reading.scalars(select(models.Dictionary.id)))
        with prompts_indexed_once(session, dictionaries):
            for table in tables():
                size = _CHUNKS.get(table.name, _CHUNK)
                rows = reading.execution_options(yield_per=size).execute(select(table).order_by(table.c.id))
                for part in rows.mappings().partitions():
                    writing.execute(insert(table), [dict(row) for row in part])
                    advance(len(part), table.name)
                set_sequence(writing, table)


@contextmanager
def _snapshot(database: Database) -> Iterator[Connection]:
    """A connection that sees one moment of the database, however long it reads."""
    engine = (
        database.engine
        if database.is_sqlite
        else database.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    )
    with engine.connect() as connection:
        if database.is_sqlite:
            # Python's sqlite3 begins no transaction for reading.
            connection.exec_driver_sql("BEGIN")
        yield connection


def set_sequence(connection: Connection, table: Table) -> None:
    """Where rows came with their ids, the next one goes on after the largest."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(
        text(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name} HAVING max(id) > 0"
        )
    )
