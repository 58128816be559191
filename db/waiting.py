"""Waiting for another process that writes to an SQLite file, and saying so.

SQLite's own busy timeout waits in silence, and Ctrl-C is not heard meanwhile. So SQLite waits for two seconds at a
time, and the statement is tried again. A statement that finds the file locked has changed nothing.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

BUSY_MS = 600_000
"""How long a statement waits for another process to finish its write, in milliseconds."""
SLICE_MS = 2_000
"""How long SQLite itself waits at a time, in milliseconds. A note follows the first time."""
NOTE_SECONDS = 60
"""How often a note is repeated."""

_BUSY_SNAPSHOT = 517
"""SQLite's code for a transaction that has read an older state. It can never write, so it is not tried again."""
_WRITE_LOCK = 120
"""The byte of the `-shm` file that a writer locks (SQLite, "WAL-mode File Format", section 2.3)."""
_PENDING_BYTE = 0x40000000
"""The first of the bytes of the database file that SQLite locks."""


def slice_ms() -> int:
    """Return SQLite's busy timeout, in milliseconds."""
    return min(SLICE_MS, BUSY_MS)


class Patience:
    """Statements on one SQLite file, tried again while another process writes to it.

    Args:
        path: The file, None for a database in memory.
        note: Receives a line for people while a statement waits.
    """

    def __init__(self, path: Path | None, note: Callable[[str], None]) -> None:
        self.path, self.note = path, note

    def keep_trying(self, statement: Callable[[], T]) -> T:
        """Run a statement; while the file is locked, run it again.

        Raises:
            sqlite3.OperationalError: The file is still locked after `BUSY_MS`, or the statement fails otherwise.
        """
        started = time.monotonic()
        noted = -float(NOTE_SECONDS)
        while True:
            try:
                return statement()
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - started
                if not _is_busy(error) or waited * 1000 >= BUSY_MS:
                    raise
            if waited - noted >= NOTE_SECONDS:
                noted = waited
                self.note(f"waiting for {self.path}, which {self._holder()} is writing (Ctrl-C stops)")

    def _holder(self) -> str:
        return "another process" if self.path is None else holder_of(self.path) or "another process"


def _is_busy(error: sqlite3.OperationalError) -> bool:
    # Python 3.10 does not tell the code.
    return "database is locked" in str(error) and getattr(error, "sqlite_errorcode", None) != _BUSY_SNAPSHOT


def holder_of(path: Path) -> str | None:
    """Return the process that holds the write lock of an SQLite file; None where the system does not tell.

    Only Linux tells. The file itself is not opened: closing it would drop the locks of this process.
    """
    with suppress(OSError, ValueError, IndexError):
        wal_index = path.with_name(f"{path.name}-shm")
        inodes = {one.stat().st_ino: one is path for one in (wal_index, path) if one.exists()}
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            # 1: POSIX ADVISORY WRITE 4711 fd:01:1234 120 120; a line of a process that waits has an arrow first.
            words = line.split()
            if words[1:2] != ["POSIX"] or words[3] != "WRITE":
                continue
            inode, first = int(words[5].rpartition(":")[2]), int(words[6])
            if inode in inodes and (first >= _PENDING_BYTE if inodes[inode] else _covers(words)):
                return _named(int(words[4]))
    return None


def _covers(words: list[str]) -> bool:
    return int(words[6]) <= _WRITE_LOCK and (words[7] == "EOF" or int(words[7]) >= _WRITE_LOCK)


def _named(pid: int) -> str:
    with suppress(OSError):
        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text(encoding='utf-8', errors='replace').strip()})"
    return f"process {pid}"
