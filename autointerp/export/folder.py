"""A folder that is written whole or not at all, and that replaces nothing but an earlier export."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from autointerp.errors import AutointerpError, UsageError


@contextmanager
def whole_folder(out_dir: Path, is_export: Callable[[Path], bool], what: str) -> Iterator[Path]:
    """Yield a new folder to write into, and move it to `out_dir` when the block ends well.

    Args:
        out_dir: The folder to make, an absolute path.
        is_export: Returns whether a folder holds an earlier export, which may be replaced.
        what: The name of the export in messages: "the bundle".

    Raises:
        UsageError: The target is a file, or a folder that holds something else.
        AutointerpError: The folder cannot be written.
    """
    if out_dir.exists() and not out_dir.is_dir():
        raise UsageError(f"{out_dir} is a file", "name a folder that does not exist yet")
    if out_dir.exists() and any(out_dir.iterdir()) and not is_export(out_dir):
        raise UsageError(f"{out_dir} holds something that is not {what}", "name an empty or a new folder")
    partial: Path | None = None
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.part-", dir=out_dir.parent))
        partial.chmod(0o755)
        yield partial
        _swap(partial, out_dir)
    except OSError as error:
        raise AutointerpError(
            f"cannot write {what} {out_dir}: {error.strerror or error}", "free space or check the rights"
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _swap(partial: Path, out_dir: Path) -> None:
    """Put the finished folder in place; remove an older one only after that has worked."""
    old = out_dir.with_name(f".{out_dir.name}.old-{os.getpid()}")
    if out_dir.exists():
        os.replace(out_dir, old)
    try:
        os.replace(partial, out_dir)
    except OSError:
        if old.exists():
            os.replace(old, out_dir)
        raise
    shutil.rmtree(old, ignore_errors=True)
