"""What can be wrong with a database, in words for people. This room knows no other, so the class is its own."""

from __future__ import annotations

import re

KEPT = "everything finished so far is kept"


class DatabaseError(Exception):
    """Like `AutointerpError`: `message` says what is wrong, `hint` what to do next, each in one line."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


def translate(error: BaseException, where: str) -> DatabaseError | None:
    """The readable form of a driver's error, or None for one that is no fault of disk, file or server.

    `error` may be SQLAlchemy's wrapper or the driver's own; only its text and its SQLSTATE are looked at. `where` is
    the database as it may be shown, without a password.
    """
    cause = getattr(error, "orig", None) or error
    text = str(cause).lower()
    if "disk is full" in text or "no space left" in text:
        return DatabaseError(
            f"the disk is full while writing {where}", f"free some space and run the same command again: {KEPT}"
        )
    if type(cause).__module__.partition(".")[0] == "psycopg":
        return _of_postgresql(text, getattr(cause, "sqlstate", None), where)
    return _of_sqlite(text, where)


def _of_sqlite(text: str, where: str) -> DatabaseError | None:
    if "file is not a database" in text:
        return DatabaseError(f"{where} is not an SQLite database", "move the file away, or name another workspace")
    if "readonly database" in text:
        return DatabaseError(f"{where} cannot be written", "check the permissions of the file and its folder")
    if "unable to open database" in text:
        return DatabaseError(f"{where} cannot be opened", "check that the folder exists and may be written")
    if "disk i/o error" in text:
        return DatabaseError(f"reading or writing {where} failed", "check the disk; free space if it is full")
    if "malformed" in text:
        return DatabaseError(f"{where} is damaged", "restore a backup, or move it away and run the command again")
    if "database is locked" in text:
        return DatabaseError(f"{where} is in use by another process", "wait for it to finish, then run this again")
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
        return DatabaseError(f"{where} can only be read", "name the primary server")
    if state == "40P01" or state == "55P03":
        return DatabaseError(f"{where} is in use by another process", "wait for it to finish, then run this again")
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
