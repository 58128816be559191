"""The database: opened, brought to the newest schema, locked, checked, copied. Faults come out as `DatabaseError`."""

from __future__ import annotations

import errno
import importlib.resources
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc, inspect, text
from sqlalchemy.orm import Session

from autointerp.db.base import to_json
from autointerp.db.errors import KEPT, DatabaseError, translate
from autointerp.db.urls import parse_url, shown

BUSY_MS = 30_000
CONNECT_SECONDS = 10
HEAD = "0006"
"""The newest revision under migrations/versions; written here too because importing Alembic takes half a second."""

SQLITE_MAGIC = b"SQLite format 3\x00"


class Database:
    """One database, by URL or by the path of an SQLite file. Opening alone neither creates nor upgrades it.

    SQLite runs with WAL, so readers see a whole state while one process writes, and with foreign keys on, so that
    deleting a dictionary takes everything under it along. PostgreSQL does both by itself. `where` names the database
    to people, without its password.

    Raises:
        DatabaseError: The URL cannot be read, or is of another kind of database.
    """

    def __init__(self, url_or_path: str | Path) -> None:
        self.url = parse_url(url_or_path)
        in_file = self.url.get_backend_name() == "sqlite" and self.url.database not in (None, "", ":memory:")
        self.path = Path(str(self.url.database)) if in_file else None
        self.where = str(self.path) if self.path else shown(self.url)
        self._lock: Connection | None = None
        self._asking = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite; else it is PostgreSQL."""
        return self.url.get_backend_name() == "sqlite"

    @cached_property
    def engine(self) -> Engine:
        """The engine, made on first use; raises `DatabaseError` for a path that cannot be an SQLite file."""
        if self.path is not None:
            check_file(self.path)
        if self.is_sqlite:
            engine = create_engine(self.url, json_serializer=to_json)
            event.listen(engine, "connect", _set_pragmas)
        else:
            engine = self._postgresql()
        event.listen(engine, "handle_error", self._handle_error)
        return engine

    def _postgresql(self) -> Engine:
        from autointerp.db.writers import process_name

        given = {
            "application_name": process_name(),
            "connect_timeout": CONNECT_SECONDS,
            # A server that vanished is noticed after a minute, not after hours.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        }
        arguments = {name: value for name, value in given.items() if name not in self.url.query}
        try:
            engine = create_engine(self.url, json_serializer=to_json, pool_pre_ping=True, connect_args=arguments)
        except ModuleNotFoundError:
            raise DatabaseError(
                f"{self.where} needs psycopg, which is not installed", "pip install 'autointerp[postgres]'"
            ) from None
        event.listen(engine, "connect", self._check_lock)
        return engine

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that commits when the block ends well and rolls back otherwise.

        Objects stay readable after the block: nothing expires on commit.
        """
        with self._translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session
            session.commit()

    def upgrade(self) -> bool:
        """Bring the schema to this code's newest; say whether anything was to do.

        Raises `DatabaseError` when the schema is of a newer autointerp, or holds tables that are not ours.
        """
        found, head = self.revision(), self.head()
        if found == head:
            return False
        from alembic import command

        self._refuse_unknown(found)
        with self._translated(), self._schema_change() as connection:
            command.upgrade(_alembic_config(connection), "head")
        return True

    def revision(self) -> str | None:
        """The schema's revision, None for an empty database."""
        with self._translated(), self.engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.scalar(text("SELECT version_num FROM alembic_version"))

    def head(self) -> str:
        """The revision this code expects."""
        return HEAD

    @contextmanager
    def writer(self) -> Iterator[None]:
        """Keep other writers of a PostgreSQL database out, from whatever machine.

        For SQLite that is the file system's part: see `Workspace.lock`.

        Raises:
            DatabaseError: Another one is in; the message says who.
        """
        from autointerp.db.writers import held

        if self.is_sqlite:
            yield
            return
        with held(self) as connection:
            self._lock = connection
            try:
                yield
            finally:
                self._lock = None

    def check(self) -> list[str]:
        """Look for damage inside the database: integrity, foreign keys, ranks and pairs of crops, the word index.

        Returns one line a problem; none for a sound database. `stages.check` looks at what the rows mean.
        """
        from autointerp.db.check import find_problems

        with self._translated():
            return find_problems(self)

    def backup(self, target: str | Path) -> None:
        """Copy the database into an SQLite file while it is in use: one moment of it, whole, or nothing.

        Raises:
            DatabaseError: The target exists or cannot be written.
        """
        target = Path(target)
        with whole_file(target) as partial:
            if self.path is None:
                from autointerp.db.copy import copy_rows

                copy = Database(partial)
                copy_rows(self, copy)
                copy.close()
                return
            with self._translated(), self.engine.connect() as connection:
                file = sqlite3.connect(partial)
                try:
                    source: Any = connection.connection.driver_connection
                    source.backup(file)
                except sqlite3.Error as error:
                    # It may be the disk of the one or the other: the one that grows is named.
                    readable = translate(error, str(target))
                    if readable is None:
                        raise
                    raise readable from error
                finally:
                    file.close()

    def close(self) -> None:
        """Close all connections."""
        if "engine" in self.__dict__:
            self.engine.dispose()
            del self.engine

    @contextmanager
    def _schema_change(self) -> Iterator[Connection]:
        """A transaction around all migrations: a killed upgrade leaves the old schema whole.

        Python's sqlite3 begins no transaction before DDL, so it is begun here, and at once, so that a second process
        waits and then finds nothing to do. Foreign keys are off meanwhile: rebuilding a table drops it, which would
        delete what refers to it.
        """
        if not self.is_sqlite:
            with self.engine.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('autointerp schema'))"))
                yield connection
            return
        with self.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.isolation_level = None
            try:
                connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
            finally:
                connection.rollback()
                driver.isolation_level = ""
                connection.exec_driver_sql("PRAGMA foreign_keys = ON")

    def _refuse_unknown(self, found: str | None) -> None:
        from alembic.util import CommandError

        if found is None:
            with self._translated():
                tables = inspect(self.engine).get_table_names()
                # With a version table another process made the schema just now.
                if tables and "alembic_version" not in tables:
                    name = "file" if self.is_sqlite else "database or schema"
                    raise DatabaseError(f"{self.where} holds another program's tables", f"name another {name}")
            return
        try:
            _script_directory().get_revision(found)
        except CommandError:
            raise DatabaseError(
                f"{self.where} was made by a newer autointerp (schema {found})",
                "upgrade autointerp: pip install -U autointerp",
            ) from None

    def _check_lock(self, connection: Any, record: Any) -> None:
        """A new connection may follow on the server's restart, which frees all locks."""
        from autointerp.db.writers import still_held

        # Threads share the one connection that holds the lock.
        with self._asking:
            lost = self._lock is not None and not still_held(self._lock)
        if lost:
            raise DatabaseError(
                f"the writer's lock on {self.where} was lost with its connection",
                f"run the same command again: {KEPT}",
            )

    def _handle_error(self, context: Any) -> None:
        readable = translate(context.original_exception, self.where)
        if readable is not None:
            raise readable from context.original_exception

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, exc.DBAPIError, OSError) as error:
            readable = translate(error, self.where)
            if readable is None:
                raise
            raise readable from error


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A path to write an SQLite file to, which is moved to `target` when the block ends well.

    Raises:
        DatabaseError: The target exists or cannot be written.
    """
    if target.exists():
        raise DatabaseError(f"{target} exists", "name a file that does not")
    check_file(target)
    partial = target.with_name(f".{target.name}.partial")
    leftovers = [partial.with_name(partial.name + ending) for ending in ("", "-wal", "-shm", "-journal")]
    try:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        yield partial
        if any(leftover.exists() and leftover.stat().st_size for leftover in leftovers[1:]):
            # SQLite moves its log into the file when it is closed, if there is room.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _sync(partial)
        os.replace(partial, target)
        _sync(target.parent)
    except OSError as error:
        raise translate(error, str(target)) or DatabaseError(
            f"{target} cannot be written ({error.strerror or error})", "name another file"
        ) from None
    finally:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_file(path: Path) -> None:
    """Raise `DatabaseError` unless `path` is, or can become, an SQLite file that may be written."""
    if path.is_dir():
        raise DatabaseError(f"{path} is a folder, not a database", "name a file")
    if not path.parent.is_dir():
        raise DatabaseError(f"the folder {path.parent} does not exist", "create it first")
    if not path.exists():
        if not os.access(path.parent, os.W_OK):
            raise DatabaseError(f"{path.parent} cannot be written", "check the permissions of the folder")
        return
    try:
        with path.open("rb") as file:
            start = file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise DatabaseError(f"{path} cannot be read ({error.strerror})", "check its permissions") from None
    # An empty file is what SQLite leaves before its first write.
    if start not in (b"", SQLITE_MAGIC):
        raise DatabaseError(f"{path} is not an SQLite database", "move the file away, or name another workspace")
    if not os.access(path, os.W_OK):
        raise DatabaseError(f"{path} cannot be written", "check the permissions of the file and its folder")


def _set_pragmas(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    # Each commit waits for the disk, a few ms: with NORMAL a power cut may lose the last ones, paid answers among them.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _alembic_config(connection: Connection | None = None) -> Any:
    from alembic.config import Config

    config = Config()
    folder = importlib.resources.files("autointerp.migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _script_directory() -> Any:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_alembic_config())
