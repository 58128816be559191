"""The writer's lock of a PostgreSQL database: one writer at a time, whatever machine and folder it works from.

The lock is an advisory lock on a connection of its own. The server frees it when that connection ends, however it
ends, so there are no stale locks. Keepalives tell the server of a machine that vanished.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from autointerp.db.errors import KEPT, DatabaseError

_CLASS = zlib.crc32(b"autointerp writer") >> 1
"""One of the two 32-bit numbers that name the lock; the other follows from the schema."""
_KEEPALIVES = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}


class WriterLock:
    """The lock of one database, or of one schema in it.

    Args:
        where: The database as errors call it, without its password.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._connection: Connection | None = None
        # Threads of this process share the one connection that holds the lock.
        self._checking = threading.Lock()

    @contextmanager
    def hold(self, engine: Engine) -> Iterator[None]:
        """Hold the lock while the block runs.

        Raises:
            DatabaseError: Another writer holds it; the message says which.
        """
        connection = engine.connect()
        # Take the connection out of the pool: closing it then ends the session at the server, and frees the lock.
        connection.detach()
        try:
            _acquire(connection, self.where)
            self._connection = connection
            yield
        finally:
            self._connection = None
            connection.close()

    def check_kept(self) -> None:
        """Check that the lock is still held, if this process took it.

        A restart of the server frees all locks. A new connection may be the first one after a restart.

        Raises:
            DatabaseError: The lock was lost, so another writer may hold it by now.
        """
        with self._checking:
            lost = self._connection is not None and not _is_alive(self._connection)
        if lost:
            raise DatabaseError(
                f"the writer's lock on {self.where} was lost with its connection",
                f"run the same command again: {KEPT}",
            )


def _acquire(connection: Connection, where: str) -> None:
    for name, seconds in _KEEPALIVES.items():
        connection.execute(text(f"SET {name} = {seconds}"))
    query = text("SELECT pg_try_advisory_lock(:class, hashtext(current_schema()))")
    acquired = connection.scalar(query, {"class": _CLASS})
    # End the transaction: an open one would keep the server from cleaning up.
    connection.commit()
    if not acquired:
        raise DatabaseError(
            f"{where} is being written by {_holder(connection)}", "wait until it is done, or use another database"
        )


def _is_alive(connection: Connection) -> bool:
    try:
        connection.execute(text("SELECT 1"))
        connection.commit()
    except DatabaseError:
        return False
    return True


def _holder(connection: Connection) -> str:
    """Return the name of the process that holds the lock."""
    query = text(
        "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.granted "
        "AND l.locktype = 'advisory' AND l.classid::bigint = :class AND l.objid = hashtext(current_schema())::oid "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return connection.scalar(query, {"class": _CLASS}) or "another process"
