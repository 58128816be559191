"""Labels alone, as one file of JSON lines."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from autointerp.errors import AutointerpError, UsageError
from autointerp.export.rows import ExportRow, write_lines


def write_jsonl(out_dir: Path, rows: Iterable[ExportRow], name: str = "labels.jsonl") -> Path:
    """Write `labels.jsonl` into a folder, replacing one of an earlier export; returns its path.

    Raises:
        UsageError: the target is a file.
        AutointerpError: it cannot be written.
    """
    if out_dir.exists() and not out_dir.is_dir():
        raise UsageError(f"{out_dir} is a file", "name a folder")
    target = out_dir / name
    partial = target.with_name(name + ".part")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        write_lines(rows, partial)
        os.replace(partial, target)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise AutointerpError(f"cannot write {target}: {error.strerror}", "free space or check the rights") from error
    return target
