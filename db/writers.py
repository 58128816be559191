"""The writer's lock of a PostgreSQL database: one writer at a time, whatever machine and folder it works from.

An advisory lock, held by a connection of its own. The server frees it when that connection ends, however it ends, so
there are no stale locks. Keepalives tell the server of a machine that vanished.
"""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from autointerp.db.errors import DatabaseError

if TYPE_CHECKING:
    from autointerp.db.engine import Database

_CLASS = zlib.crc32(b"autointerp writer") >> 1
"""One of the two 32-bit numbers that name the lock; the other follows from the schema."""
_KEEPALIVES = {"tcp_keepalives_idle": 30, "tcp_keepalives_interval": 10, "tcp_keepalives_count": 3}


def process_name() -> str:
    """Who this is, for the one who has to wait: it is the application_name of every connection, at most 63 bytes."""
    return f"process {os.getpid()} on {socket.gethostname()[:40]}"


@contextmanager
def held(database: Database) -> Iterator[Connection]:
    """Hold the lock of this database (of this schema in it) on a connection that is yielded.

    Raises:
        DatabaseError: Another one holds it; the message says who.
    """
    connection = database.engine.connect()
    # Not the pool's any more: closing it ends the session at the server, and with it the lock.
    connection.detach()
    try:
        for name, seconds in _KEEPALIVES.items():
            connection.execute(text(f"SET {name} = {seconds}"))
        query = text("SELECT pg_try_advisory_lock(:class, hashtext(current_schema()))")
        taken = connection.scalar(query, {"class": _CLASS})
        # No transaction stays open meanwhile: it would keep the server from cleaning up.
        connection.commit()
        if not taken:
            raise DatabaseError(
                f"{database.where} is being written by {_holder(connection)}",
                "wait until it is done, or use another database",
            )
        yield connection
    finally:
        connection.close()


def still_held(connection: Connection) -> bool:
    """Whether the session that holds the lock is alive, and with it the lock."""
    try:
        connection.execute(text("SELECT 1"))
        connection.commit()
    except DatabaseError:
        return False
    return True


def _holder(connection: Connection) -> str:
    query = text(
        "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.granted "
        "AND l.locktype = 'advisory' AND l.classid::bigint = :class AND l.objid = hashtext(current_schema())::oid "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return connection.scalar(query, {"class": _CLASS}) or "another process"
