"""Files on disk: written whole or not at all, and identified by the SHA-256 of their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from autointerp.errors import AutointerpError, UsageError

_BLOCK = 2**20


def sha256_of(*paths: Path) -> str:
    """Return the SHA-256 of the content of a file, or of several files in a row, in hexadecimal.

    Files are read a megabyte at a time.

    Raises:
        OSError: A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def expanded(path: str | Path) -> Path:
    """Return a path with the folder of a user in place of `~` or `~name`.

    Raises:
        UsageError: There is no such user, or the user has no folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        name = Path(path).parts[0]
        raise UsageError(
            f"{path}: there is no folder of a user {name}", f"write ./{name} for a name of this kind"
        ) from None


def may_write(path: Path) -> bool:
    """Return whether this process may write to a file, or make files in a folder."""
    return os.access(path, os.W_OK)


@contextmanager
def replacing(target: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a path beside `target` to write to, and move the file to `target` when the block ends well.

    A reader sees the old file or the new one, never a part. When the block fails, the old file stays and nothing else
    is left behind.

    Args:
        target: The file to make or to replace; its folder exists.
        durable: Wait until the new file is on the disk before it takes the place of the old one, so that a power cut
            loses neither. Leave this out for large files that can be made again.

    Raises:
        OSError: The file cannot be written.
    """
    partial = target.with_name(target.name + ".part")
    try:
        yield partial
        if durable:
            _sync(partial)
        os.replace(partial, target)
        if durable:
            _sync(target.parent)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def whole_file(
    target: Path, named: str = "", hint: str = "free space or check the rights", durable: bool = True
) -> Iterator[Path]:
    """Yield a path to write to, as `replacing` does, and make a failure of the disk one readable line.

    The folder of the file is made by the caller inside the block, if at all, so that its failure reads the same.

    Args:
        target: The file to make or to replace.
        named: What messages call the file; its path by default.
        hint: What a person can do about a failure.
        durable: See `replacing`.

    Raises:
        AutointerpError: The file cannot be written.
    """
    try:
        with replacing(target, durable) as partial:
            yield partial
    except Exception as error:
        failure = disk_failure(error)
        if failure is None:
            raise
        reason = failure.strerror or str(failure)
        raise AutointerpError(f"cannot write {named or target}: {reason}", hint) from error


def disk_failure(error: BaseException) -> OSError | None:
    """Return the system's error that an error is, or that a library has wrapped in an error of its own."""
    if isinstance(error, AutointerpError):
        return None
    wrapped = error.__cause__ or error.__context__
    return next((one for one in (error, wrapped) if isinstance(one, OSError)), None)


def _sync(path: Path) -> None:
    """Wait until a file, or the list of files of a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
