"""A dictionary as the files of another tool, with `labels.jsonl` beside them and its provenance inside them."""

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


def write_tool_files(
    out_dir: Path, form: str, dictionary: Dictionary, provenance: Mapping[str, Any], rows: Sequence[ExportRow]
) -> Path:
    """Write a folder that another tool loads, in the place of an earlier export; return its path.

    Args:
        out_dir: The folder to make.
        form: The name of the format.
        dictionary: The dictionary.
        provenance: Where the dictionary comes from, as JSON values.
        rows: The labels, one row a feature; may be empty.

    Raises:
        UsageError: The target is a file, or a folder that holds something else.
        AutointerpError: The format cannot express the dictionary exactly, or the folder cannot be written.
    """
    from autointerp.dictionaries.formats.detect import check_writable, write_format

    check_writable(dictionary, form)
    out_dir = out_dir.absolute()
    with whole_folder(out_dir, _is_export, f"an export of {form}") as partial:
        write_format(dictionary, form, partial, json.loads(json.dumps(dict(provenance), default=str)))
        if rows:
            write_lines(sorted(rows, key=lambda row: row.index), partial / "labels.jsonl")
    return out_dir


def _is_export(folder: Path) -> bool:
    """Return whether the configuration in a folder carries a provenance of autointerp."""
    for name in ("cfg.json", "config.json"):
        with suppress(OSError, ValueError):
            content = json.loads((folder / name).read_text(encoding="utf-8"))
            if isinstance(content, dict):
                return "autointerp" in content or "autointerp" in (content.get("metadata") or {})
    return False
