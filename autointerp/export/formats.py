"""A dictionary in another tool's files, with `labels.jsonl` beside them and our provenance inside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.export.folder import whole_folder
from autointerp.export.rows import ExportRow, write_lines

if TYPE_CHECKING:
    from autointerp.dictionaries.protocol import Dictionary


def write_other(
    out_dir: Path, form: str, dictionary: Dictionary, provenance: Mapping[str, Any], rows: Sequence[ExportRow]
) -> Path:
    """Write a folder that another tool loads, replacing one of an earlier export; returns its path.

    Raises:
        UsageError: the target is a file or a folder of something else.
        AutointerpError: the format cannot express the dictionary exactly, or the disk refuses.
    """
    from autointerp.dictionaries.formats.detect import check_writable, write_format

    check_writable(dictionary, form)
    out_dir = out_dir.absolute()
    with whole_folder(out_dir, _ours, f"an export of {form}") as partial:
        write_format(dictionary, form, partial, json.loads(json.dumps(dict(provenance), default=str)))
        if rows:
            write_lines(sorted(rows, key=lambda row: row.index), partial / "labels.jsonl")
    return out_dir


def _ours(folder: Path) -> bool:
    """Whether a configuration there carries our provenance."""
    for name in ("cfg.json", "config.json"):
        with suppress(OSError, ValueError):
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            if isinstance(content, dict):
                return "autointerp" in content or "autointerp" in (content.get("metadata") or {})
    return False
