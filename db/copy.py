"""A copy of all rows of one database in another, empty one, of the same or the other kind: whole or not at all.

The source is read in one snapshot, so writers to the source change nothing in the copy. The target is written in one
transaction, so a stopped copy leaves nothing. Rows go through the models' types, a chunk at a time. Values are
therefore equal on both sides, and memory is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Table, func, insert, inspect, select

from autointerp.db import models
from autointerp.db.base import Base
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError
from autointerp.db.queries import bulk
from autointerp.db.queries.words import prompts_indexed_once

_CHUNK = 2_000
_SMALL_CHUNKS = {models.Image.__tablename__: 100, models.Checkpoint.__tablename__: 1}


def chunk_size(table: str) -> int:
    """Return how many rows of a table are in memory at a time.

    Pictures take tens of kB each, and a piece of a checkpoint may take some MB.
    """
    return _SMALL_CHUNKS.get(table, _CHUNK)


def tables() -> list[Table]:
    """Return every table, each after the tables that it refers to."""
    return list(Base.metadata.sorted_tables)


def count_rows(database: Database) -> int:
    """Return the number of rows of all tables together."""
    with database.session() as session:
        return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in tables())


def check_empty(target: Database) -> None:
    """Check that the target holds nothing, or only this project's empty tables.

    Raises:
        DatabaseError: It holds rows, or another program's tables.
    """
    with target.session() as session:
        present = set(inspect(session.connection()).get_table_names())
        if not present:
            return
        if "alembic_version" not in present:
            raise DatabaseError(f"{target.where} holds another program's tables", "name an empty database")
        for table in tables():
            if table.name in present and session.execute(select(table.c.id).limit(1)).first() is not None:
                raise DatabaseError(f"{target.where} is not empty: {table.name} has rows", "name an empty database")


def _no_progress(_rows: int, _table: str) -> None:
    """Report nothing."""


def copy_rows(
    source: Database,
    target: Database,
    advance: Callable[[int, str], None] = _no_progress,
    chunk_size: Callable[[str], int] = chunk_size,
) -> None:
    """Copy every row of `source` into `target`, which is made or upgraded first.

    Args:
        source: A database of this code's schema.
        target: An empty database.
        advance: Called with the number of rows written and their table, after each chunk.
        chunk_size: Rows of a table in memory at a time.

    Raises:
        DatabaseError: The target is not empty, or either database fails. The target then holds no row.
    """
    check_empty(target)
    target.upgrade()
    with _snapshot(source) as reading, target.session() as session:
        writing = session.connection()
        dictionaries = list(reading.scalars(select(models.DictionaryRow.id)))
        with prompts_indexed_once(session, dictionaries):
            for table in tables():
                size = chunk_size(table.name)
                rows = reading.execution_options(yield_per=size).execute(select(table).order_by(table.c.id))
                for part in rows.mappings().partitions():
                    writing.execute(insert(table), [dict(row) for row in part])
                    advance(len(part), table.name)
                bulk.set_sequence(writing, table)


@contextmanager
def _snapshot(database: Database) -> Iterator[Connection]:
    """Open a connection that sees one moment of the database, however long it reads."""
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
