"""An export that is one file, in a folder that may hold other files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from autointerp.errors import UsageError
from autointerp.files import whole_file


def write_file(target: Path, write: Callable[[Path], Any]) -> Path:
    """Write a file whole, in the place of an earlier one; return its path.

    Args:
        target: The file; its folder is made.
        write: Writes the content to the path that it is given.

    Raises:
        UsageError: The folder of the file is itself a file.
        AutointerpError: The file cannot be written.
    """
    folder = target.parent
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a folder")
    with whole_file(target) as partial:
        folder.mkdir(parents=True, exist_ok=True)
        write(partial)
    return target
