"""How connections are set up: SQLite's pragmas, what a PostgreSQL server is told, and JSON that both take."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event, exc

from autointerp.db.base import to_json
from autointerp.db.errors import DatabaseError
from autointerp.db.urls import shown
from autointerp.db.waiting import slice_ms

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine.interfaces import DBAPIConnection

    from autointerp.db.waiting import Patience

CONNECT_SECONDS = 10
"""How long PostgreSQL's client waits for the server to answer."""

_UNWRITABLE = ("readonly database", "unable to open database", "disk is full", "disk i/o error")
"""What SQLite says of a file or folder that it cannot write to, when it opens the file."""


class Reader(sqlite3.Connection):
    """A connection to a file that may not be written to, and of which SQLite can lock nothing.

    Attributes:
        reason: Why the file could not be opened for writing.
    """

    reason = ""


def open_engine(url: URL) -> Engine:
    """Make the engine of a PostgreSQL database; no connection is opened yet.

    Raises:
        DatabaseError: The driver is not installed.
    """
    defaults: dict[str, str | int] = {
        "application_name": process_name(),
        "connect_timeout": CONNECT_SECONDS,
        # A server that vanished is noticed after a minute, not after hours.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    arguments = {name: value for name, value in defaults.items() if name not in url.query}
    try:
        return create_engine(url, json_serializer=to_json, pool_pre_ping=True, connect_args=arguments)
    except ModuleNotFoundError:
        raise DatabaseError(
            f"{shown(url)} needs psycopg, which is not installed", "pip install 'autointerp[postgres]'"
        ) from None


def open_sqlite_engine(url: URL, path: Path | None, patience: Patience) -> Engine:
    """Make the engine of an SQLite database; no connection is opened yet.

    Args:
        url: Of the database.
        path: Its file, None for a database in memory.
        patience: Tries statements again while another process writes.
    """
    engine = create_engine(url, json_serializer=to_json)

    def connect(_dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> sqlite3.Connection:
        return patience.keep_trying(lambda: _connect(path, arguments, options))

    def execute(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool:
        with _reason_of(cursor):
            patience.keep_trying(lambda: cursor.execute(statement, parameters))
        return True

    def execute_many(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool:
        # The first row takes the lock, so that a statement fails with no row written or not for this reason.
        rows = list(parameters)
        with _reason_of(cursor):
            patience.keep_trying(lambda: cursor.executemany(statement, rows))
        return True

    def check_out(connection: Any, record: Any, _proxy: Any) -> None:
        # What a reader has read is not locked. So each session gets a new one.
        if isinstance(connection, Reader) and record.info.setdefault("used", False):
            raise exc.DisconnectionError
        record.info["used"] = True

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "do_execute", execute)
    event.listen(engine, "do_executemany", execute_many)
    event.listen(engine, "checkout", check_out)
    return engine


@contextmanager
def _reason_of(cursor: sqlite3.Cursor) -> Iterator[None]:
    """Say of a write to a reader why its file cannot be written."""
    try:
        yield
    except sqlite3.OperationalError as error:
        reader = cursor.connection
        if isinstance(reader, Reader) and "readonly database" in str(error) and "full" in reader.reason:
            raise sqlite3.OperationalError(reader.reason) from error
        raise


def _connect(path: Path | None, arguments: list[Any], options: dict[str, Any]) -> sqlite3.Connection:
    """Open and set up a connection; to a file that SQLite cannot write to, one that only reads.

    In WAL mode SQLite writes in order to read: it makes two files beside the database.
    """
    connection = sqlite3.connect(*arguments, **options)
    try:
        set_pragmas(connection)
    except sqlite3.Error as error:
        connection.close()
        if path is None or not any(words in str(error).lower() for words in _UNWRITABLE):
            raise
        reader = _open_reader(path, options)
        if reader is None:
            raise
        reader.reason = str(error)
        return reader
    except BaseException:
        connection.close()
        raise
    return connection


def _open_reader(path: Path, options: dict[str, Any]) -> Reader | None:
    """Open a file without writing anything; None where it cannot be read either.

    A process that has the file open has made the `-shm` file, so that SQLite needs no reader of this kind. Where a log
    was left by a process that is gone, an index of it is made in memory. `immutable` would not see the log.
    """
    log = path.with_name(f"{path.name}-wal")
    try:
        has_log = log.exists() and log.stat().st_size > 0
        how = "mode=ro&vfs=unix-none" if has_log else "immutable=1"
        uri = f"file:{quote(os.fsencode(path.absolute()))}?{how}"
        reader = sqlite3.connect(uri, uri=True, factory=Reader, **options)
    except (OSError, sqlite3.Error):
        return None
    try:
        if has_log:
            reader.execute("PRAGMA locking_mode = EXCLUSIVE")
        reader.execute("PRAGMA query_only = ON")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        reader.close()
        return None
    return reader


def set_pragmas(connection: DBAPIConnection) -> None:
    """Set up a new SQLite connection.

    WAL lets readers see a whole state while one process writes. Foreign keys are on, so that deleting a dictionary
    deletes everything under it. Each commit waits for the disk, which takes a few milliseconds. With
    `synchronous = NORMAL` a power cut could lose the last commits, paid answers among them.
    """
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {slice_ms()}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def process_name() -> str:
    """Return the name of this process for other writers: the application_name of every connection.

    PostgreSQL keeps at most 63 bytes of it.
    """
    return f"process {os.getpid()} on {socket.gethostname()[:40]}"
