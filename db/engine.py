"""An open database: its engine, sessions, schema and writer's lock. Faults come out as `DatabaseError`."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, event, exc
from sqlalchemy.orm import Session

from autointerp.db.connections import open_engine, open_sqlite_engine
from autointerp.db.errors import translate
from autointerp.db.files import check_file
from autointerp.db.upgrade import HEAD, find_revision, upgrade_schema
from autointerp.db.urls import parse_url, shown
from autointerp.db.waiting import Patience
from autointerp.db.writers import WriterLock

if TYPE_CHECKING:
    from sqlalchemy.engine import ExceptionContext


def _say_nothing(_text: str) -> None:
    pass


def _read_only(connection: Any, _record: Any, _proxy: Any) -> None:
    connection.execute("PRAGMA query_only = ON")


class Database:
    """One database, by URL or by the path of an SQLite file. Opening alone neither creates nor upgrades it.

    Attributes:
        url: Its URL, which may hold a password.
        path: The SQLite file, None for a database in memory or on a server.
        where: The database as people see it, without its password.
        on_wait: Receives a line for people while a statement waits for another process that writes; nothing by default.

    Raises:
        DatabaseError: The URL cannot be read, or is of another kind of database.
    """

    def __init__(self, url_or_path: str | Path) -> None:
        self.url = parse_url(url_or_path)
        in_file = self.url.get_backend_name() == "sqlite" and self.url.database not in (None, "", ":memory:")
        self.path = Path(str(self.url.database)) if in_file else None
        self.where = str(self.path) if self.path else shown(self.url)
        self.on_wait: Callable[[str], None] = _say_nothing
        self._writer_lock = WriterLock(self.where)
        self._watching = threading.Lock()
        self._watch: Connection | None = None

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is SQLite; else it is PostgreSQL."""
        return self.url.get_backend_name() == "sqlite"

    @cached_property
    def engine(self) -> Engine:
        """The engine, made on first use.

        Raises:
            DatabaseError: The path cannot be an SQLite file.
        """
        if self.path is not None:
            check_file(self.path)
        if self.is_sqlite:
            engine = open_sqlite_engine(self.url, self.path, Patience(self.path, lambda text: self.on_wait(text)))
        else:
            engine = open_engine(self.url)
            event.listen(engine, "connect", lambda _connection, _record: self._writer_lock.check_kept())
        event.listen(engine, "handle_error", self._translate)
        return engine

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session that commits when the block ends well and rolls back otherwise.

        Objects stay readable after the block, because nothing expires on commit.
        """
        with self.translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session
            session.commit()

    def upgrade(self) -> bool:
        """Bring the schema to this code's newest; say whether anything was to do.

        Raises:
            DatabaseError: The schema is of a newer autointerp, or the tables are another program's.
        """
        with self.translated():
            return upgrade_schema(self.engine, self.where)

    def forbid_writing(self) -> None:
        """Make every later write to an SQLite database fail with `NotWritable`."""
        event.listen(self.engine, "checkout", _read_only)
        with self.session() as session:
            session.connection()

    def revision(self) -> str | None:
        """Return the schema's revision, None for an empty database."""
        with self.translated():
            return find_revision(self.engine)

    def head(self) -> str:
        """Return the revision that this code expects."""
        return HEAD

    @contextmanager
    def writer(self) -> Iterator[None]:
        """Keep other writers of a PostgreSQL database out, from whatever machine.

        Writers of an SQLite file are kept out by locked files: see `WorkspaceFolder.lock`.

        Raises:
            DatabaseError: Another writer is in; the message says which.
        """
        if self.is_sqlite:
            yield
            return
        with self._writer_lock.hold(self.engine):
            yield

    def version(self) -> int | None:
        """Return a number that any session's or process's commit changes; None where the database has no such number.

        Asking an SQLite file takes microseconds, whatever it holds. PostgreSQL and databases in memory have none.
        """
        if self.path is None:
            return None
        with self._watching, self.translated():
            if self._watch is None:
                # SQLite counts the commits of other connections, so this one commits nothing.
                self._watch = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            return int(self._watch.exec_driver_sql("PRAGMA data_version").scalar_one())

    def close(self) -> None:
        """Close all connections."""
        with self._watching:
            if self._watch is not None:
                self._watch.close()
                self._watch = None
        if "engine" in self.__dict__:
            self.engine.dispose()
            del self.engine

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise faults of the driver and of the disk as `DatabaseError`; other errors pass."""
        try:
            yield
        except (sqlite3.Error, exc.DBAPIError, OSError) as error:
            readable = translate(error, self.where)
            if readable is None:
                raise
            raise readable from error

    def _translate(self, context: ExceptionContext) -> None:
        readable = translate(context.original_exception, self.where)
        if readable is not None:
            raise readable from context.original_exception
