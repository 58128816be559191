"""An export that is one file in a folder, which may hold other things."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from autointerp.errors import AutointerpError, UsageError


def write_file(target: Path, write: Callable[[Path], Any]) -> Path:
    """Write a file whole, replacing one of an earlier export; returns its path.

    Args:
        target: The file; its folder is made.
        write: Writes what it is to hold to the path it is given.

    Raises:
        UsageError: Its folder is a file.
        AutointerpError: It cannot be written.
    """
    folder = target.parent
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a folder")
    partial = target.with_name(target.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write(partial)
        os.replace(partial, target)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise AutointerpError(f"cannot write {target}: {error.strerror}", "free space or check the rights") from error
    return target
