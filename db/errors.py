"""Faults of a database, in words for people."""

from __future__ import annotations

import re

from autointerp.errors import AutointerpError

KEPT = "everything finished so far is kept"


class DatabaseError(AutointerpError):
    """A fault of the database itself: its file, disk, server, lock or schema."""


class DatabaseBusy(DatabaseError):
    """Another process holds the database; the same transaction may succeed when it lets go."""


class NotWritable(DatabaseError):
    """The database can be read, and not written: by its rights, or because the disk is full."""


def translate(error: BaseException, where: str) -> DatabaseError | None:
    """Return a driver's error as a `DatabaseError`, None if it is no fault of the disk, the file or the server.

    Args:
        error: SQLAlchemy's wrapper or the driver's own error. Only its text and its SQLSTATE are read.
        where: The database as it may be shown, without a password.
    """
    cause = getattr(error, "orig", None) or error
    text = str(cause).lower()
    if "disk is full" in text or "no space left" in text:
        return NotWritable(
            f"the disk is full while writing {where}", f"free some space and run the same command again: {KEPT}"
        )
    if type(cause).__module__.partition(".")[0] == "psycopg":
        return _of_postgresql(text, getattr(cause, "sqlstate", None), where)
    return _of_sqlite(text, where)


def _of_sqlite(text: str, where: str) -> DatabaseError | None:
    if "file is not a database" in text:
        return DatabaseError(f"{where} is not an SQLite database", "move the file away, or name another workspace")
    if "readonly database" in text:
        return NotWritable(f"{where} cannot be written", "check the permissions of the file and its folder")
    if "unable to open database" in text:
        return DatabaseError(f"{where} cannot be opened", "check that the folder exists and may be written")
    if "disk i/o error" in text:
        return DatabaseError(f"reading or writing {where} failed", "check the disk; free space if it is full")
    if "malformed" in text:
        return DatabaseError(f"{where} is damaged", "restore a backup, or move it away and run the command again")
    if "database is locked" in text:
        return DatabaseBusy(f"{where} is in use by another process", "wait for it to finish, then run this again")
    return None


_LOST = ("server closed the connection", "terminating connection", "connection is lost", "connection has been closed")
_UNREACHABLE = (
    "connection refused",
    "no such file or directory",
    "could not translate host name",
    "failed to resolve host",
    "timeout expired",
    "no route to host",
    "network is unreachable",
)


def _of_postgresql(text: str, state: str | None, where: str) -> DatabaseError | None:
    if "password authentication failed" in text or "no password supplied" in text:
        return DatabaseError(
            f"{where} refuses this user and password", "correct the URL, or set PGPASSWORD or a line of ~/.pgpass"
        )
    if missing := re.search(r'(database|role) "([^"]*)" does not exist', text):
        kind, name = missing.groups()
        made_by = f"createdb {name}" if kind == "database" else f"createuser {name}"
        return DatabaseError(f'{where}: there is no {kind} "{name}"', f"make it first: `{made_by}` on the server")
    if "no pg_hba.conf entry" in text:
        return DatabaseError(f"{where} does not let this machine and user in", "add a line to the server's pg_hba.conf")
    if state == "53300" or "too many clients" in text or "remaining connection slots" in text:
        return DatabaseError(f"{where} takes no more connections", "raise max_connections, or end other programs")
    if state == "3F000":
        return DatabaseError(f"{where}: the schema of its search_path does not exist", "make it: CREATE SCHEMA name")
    if state == "42501":
        return DatabaseError(
            f"{where}: this user lacks a right ({_first_line(text)})", "GRANT it: the user must own its schema"
        )
    if state == "25006":
        return NotWritable(f"{where} can only be read", "name the primary server")
    if state == "40P01" or state == "55P03":
        return DatabaseBusy(f"{where} is in use by another process", "wait for it to finish, then run this again")
    if state in ("XX001", "XX002"):
        return DatabaseError(f"{where} is damaged ({_first_line(text)})", "restore a backup of the server")
    if "starting up" in text or "shutting down" in text:
        return DatabaseError(f"{where} is starting or stopping", f"run the same command again: {KEPT}")
    if any(words in text for words in _LOST) or (state or "").startswith(("57P", "08")):
        return DatabaseError(f"the connection to {where} was lost", f"run the same command again: {KEPT}")
    if any(words in text for words in _UNREACHABLE):
        return DatabaseError(f"no PostgreSQL server answers at {where}", "start it, or correct `database`")
    return None


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:200]
