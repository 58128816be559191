"""SQLite files: checked without being opened, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autointerp.db.errors import DatabaseError, NotWritable, translate
from autointerp.files import replacing


def check_file(path: Path) -> None:
    """Check that a path is, or can become, a file that SQLite can open. SQLite itself says what is in the file.

    The file is not opened here. Closing any handle of a file drops every POSIX lock that the process holds on it, those
    of SQLite's open connections among them. Another process would then believe that it is the last one, and delete the
    log that these connections write to (SQLite, "How To Corrupt An SQLite Database File", section 2.2).

    Raises:
        DatabaseError: It is not and cannot; the message says why.
    """
    if path.is_dir():
        raise DatabaseError(f"{path} is a folder, not a database", "name a file")
    if not path.parent.is_dir():
        raise DatabaseError(f"the folder {path.parent} does not exist", "create it first")
    try:
        found = path.stat()
    except FileNotFoundError:
        if not os.access(path.parent, os.W_OK):
            raise NotWritable(f"{path.parent} cannot be written", "check the permissions of the folder") from None
        return
    except OSError as error:
        raise DatabaseError(f"{path} cannot be read ({error.strerror})", "check its permissions") from None
    # SQLite takes a file of one byte as empty, and would wait for ever for a pipe to speak.
    if not stat.S_ISREG(found.st_mode) or found.st_size == 1:
        raise DatabaseError(f"{path} is not an SQLite database", "move the file away, or name another workspace")
    if not os.access(path, os.R_OK):
        raise DatabaseError(f"{path} cannot be read (Permission denied)", "check its permissions")


@contextmanager
def new_sqlite_file(target: Path) -> Iterator[Path]:
    """Yield a path to write an SQLite file to, and move the file to `target` when the block ends well.

    Raises:
        DatabaseError: The target exists or cannot be written.
    """
    if target.exists():
        raise DatabaseError(f"{target} exists", "name a file that does not")
    check_file(target)
    try:
        with replacing(target) as partial, _no_logs(partial) as logs:
            partial.unlink(missing_ok=True)
            yield partial
            if any(log.exists() and log.stat().st_size for log in logs):
                # SQLite moves its log into the file when the file is closed, if there is room for it.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise translate(error, str(target)) or DatabaseError(
            f"{target} cannot be written ({error.strerror or error})", "name another file"
        ) from None


@contextmanager
def _no_logs(database: Path) -> Iterator[list[Path]]:
    """Remove the logs that SQLite keeps beside a file, before the block and after it; yield their paths."""
    logs = [database.with_name(database.name + ending) for ending in ("-wal", "-shm", "-journal")]
    try:
        for log in logs:
            log.unlink(missing_ok=True)
        yield logs
    finally:
        for log in logs:
            log.unlink(missing_ok=True)
