"""A backup: one moment of a database in use, copied whole into a new SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

from autointerp.db.copy import copy_rows
from autointerp.db.engine import Database
from autointerp.db.errors import translate
from autointerp.db.files import new_sqlite_file

if TYPE_CHECKING:
    from sqlite3 import Connection


def back_up(database: Database, target: str | Path) -> None:
    """Copy a database into an SQLite file while it is in use: whole, or nothing is left.

    Raises:
        DatabaseError: The target exists or cannot be written.
    """
    target = Path(target)
    with new_sqlite_file(target) as partial:
        if database.path is None:
            copy = Database(partial)
            copy_rows(database, copy)
            copy.close()
        else:
            _copy_file(database, partial, target)


def _copy_file(database: Database, partial: Path, target: Path) -> None:
    """Copy an SQLite file's pages, by SQLite's own backup."""
    with database.translated(), database.engine.connect() as connection:
        source = cast("Connection", connection.connection.driver_connection)
        try:
            with closing(sqlite3.connect(partial)) as file:
                source.backup(file)
        except sqlite3.Error as error:
            # Either disk may be full. The error names the target, because the target grows.
            readable = translate(error, str(target))
            if readable is None:
                raise
            raise readable from error
