"""One writer at a time, by a file: the kernel's lock where the file system has one, else a file that names its owner.

The kernel frees its lock when the holder ends, however it ends. An owner's file is stale when its process is gone; that
can be told on its own machine alone.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from autointerp.errors import AutointerpError

_UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_UNWRITTEN_SECONDS = 10


@contextmanager
def file_lock(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`, which keeps other writers off `what`.

    Raises:
        AutointerpError: Another process holds it, and the message says which; or the file cannot be written.
    """
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        hint = "check the permissions of its folder"
        raise AutointerpError(f"{path} cannot be written ({error.strerror or error})", hint) from None
    with file:
        if _kernel_lock(file, what):
            # The lock is held without its owner's name too, which a full disk does not take.
            with suppress(OSError):
                file.truncate(0)
                os.write(file.fileno(), f"{_me()}\n".encode())
            try:
                yield
            finally:
                with suppress(OSError):
                    file.truncate(0)
        else:
            with _owner_file(path.with_name(f"{path.name}.owner"), what):
                yield


def is_held(path: Path) -> bool:
    """Return whether a lock file is held, without taking it: that would be in the way of a process that begins.

    The holder's name stays in the file of a process that was killed, so it is looked for among the processes, and
    where the kernel lists its locks, among these. A holder on another machine is taken to live.
    """
    if owner := _read(path.with_name(f"{path.name}.owner")):
        return not _is_stale(path.with_name(f"{path.name}.owner"), owner)
    said = re.fullmatch(r"process (\d+) on (.*)", _read(path))
    if said is None:
        return False
    if said[2] != socket.gethostname():
        return True
    return _start_of(int(said[1])) is not None and _is_listed(path)


def _is_listed(path: Path) -> bool:
    """Return whether the kernel lists a lock on a file; True where it lists none."""
    try:
        inode = path.stat().st_ino
        listed = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return True
    return any(f":{inode} " in line for line in listed)


def _kernel_lock(file: TextIO, what: str) -> bool:
    """Take the kernel's lock; False where the file system has none."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise _busy(what, file.read().strip() or "another process") from None
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    return True


@contextmanager
def _owner_file(path: Path, what: str) -> Iterator[None]:
    """Own `path` by having made it; one that a dead process left is taken away first."""
    while True:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            break
        except FileExistsError:
            owner = _read(path)
            if not _is_stale(path, owner):
                gone = f", or delete {path} if that process is gone" if socket.gethostname() not in owner else ""
                raise _busy(what, owner.partition(",")[0] or "another process", gone) from None
            _take_away(path, owner)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{_me()}, started {_start_of(os.getpid())}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _take_away(path: Path, owner: str) -> None:
    """Remove a stale file, unless another process has just put its own in that place."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        os.rename(path, aside)
        if _read(aside) != owner:
            with suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()


def _is_stale(path: Path, owner: str) -> bool:
    """Whether the process of an owner's file is gone for sure."""
    said = re.fullmatch(r"process (\d+) on (.*), started (\d*)", owner)
    if said is None:
        # Made and not yet written, or cut off by a crash.
        with suppress(FileNotFoundError):
            return time.time() - path.stat().st_mtime > _UNWRITTEN_SECONDS
        return True
    return said[2] == socket.gethostname() and _start_of(int(said[1])) != said[3]


def _start_of(pid: int) -> str | None:
    """When a process began, in the kernel's ticks, for its number may be another one's later; None if it is gone.

    Where there is no /proc, nothing is known but that it lives: the empty string.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        # The name of the program stands in parentheses, and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _busy(what: str, owner: str, more: str = "") -> AutointerpError:
    return AutointerpError(
        f"{what} is being written by {owner}", f"wait until it is done, or use another workspace{more}", retryable=True
    )
