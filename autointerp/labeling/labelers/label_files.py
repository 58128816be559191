"""Label files: reading those of this project and of other tools, and writing this project's own.

Reading is strict: a line whose meaning is not clear is refused with the reason, and never half used.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.labeling.labelers.csv_rows import ReadLabels, csv_rows, shielded
from autointerp.labeling.labelers.foreign_files import (
    read_clip_dissect,
    read_delphi,
    read_flux_saes,
    read_multimodal_sae,
)
from autointerp.labeling.labelers.given import COLUMNS, GivenLabel, RefusedLabel, checked
from autointerp.tables import SUFFIXES as TABLES, read_table
from autointerp.text_files import read_text
from autointerp.texts import to_json


def read_labels(path: Path, form: str = "auto") -> tuple[str, list[GivenLabel | RefusedLabel]]:
    """Read a label file, or the folder that some tools write; return its format and its labels.

    Raises:
        UsageError: There is no such format, or the file does not show its format.
        AutointerpError: The file cannot be read, or is not of that format at all.
    """
    if form != "auto" and form not in FORMATS:
        raise UsageError(f"there is no label format {form!r}", nearest(form, ("auto", *FORMATS)))
    try:
        form = _detect(path) if form == "auto" else form
        return form, list(FORMATS[form](path))
    except OSError as error:
        raise AutointerpError(f"cannot read {path}: {error.strerror or error}", "check the path") from None


def write_labels(path: Path, labels: Sequence[GivenLabel], form: Literal["csv", "jsonl"]) -> None:
    """Write labels as CSV or JSON lines; `read_labels` reads the same back.

    Raises:
        OSError: The file cannot be written.
    """
    rows = [{name: getattr(label, name) for name in COLUMNS} for label in labels]
    with path.open("w", encoding="utf-8", newline="") as file:
        if form == "csv":
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: shielded(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows)
        else:
            file.writelines(to_json(row) + "\n" for row in rows)


def _detect(path: Path) -> str:
    """Return the format of a file or folder, by its name and its first characters.

    Raises:
        UsageError: The file does not show its format.
    """
    ending = path.suffix.lower()
    if path.is_dir():
        if (path / "explanations").is_dir() or any(path.glob("*.txt")):
            return "delphi"
        if any(found.stem.isdecimal() for found in path.glob("*.json")):
            return "flux-saes"
    elif ending in (".jsonl", ".ndjson"):
        return "jsonl"
    elif ending in TABLES:
        foreign = ("unit", "description")
        table = read_table(path, (*COLUMNS, *foreign))
        return "clip-dissect" if None not in map(table.column, foreign) else "csv"
    elif ending == ".txt":
        return "delphi"
    elif ending == ".json":
        return "multimodal-sae" if read_text(path).lstrip().startswith("[") else "flux-saes"
    else:
        path.open("rb").close()
    raise UsageError(f"cannot tell the format of {path}", f"give --format {'|'.join(FORMATS)}")


def _jsonl(path: Path) -> ReadLabels:
    """Read this project's JSON lines."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            yield checked(f"line {number}", values)
        else:
            yield RefusedLabel(f"line {number}", "it is no JSON object")


def _csv(path: Path) -> ReadLabels:
    """Read this project's CSV."""
    for place, row in csv_rows(path, ("feature", "name")):
        yield row if isinstance(row, RefusedLabel) else checked(place, row)


FORMATS: dict[str, Callable[[Path], ReadLabels]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "delphi": read_delphi,
    "clip-dissect": read_clip_dissect,
    "multimodal-sae": read_multimodal_sae,
    "flux-saes": read_flux_saes,
}
"""Readers of label files, by the name of the format."""
OTHERS = tuple(FORMATS)[2:]
"""Formats of other tools; their labels are of a labeler of that name."""
