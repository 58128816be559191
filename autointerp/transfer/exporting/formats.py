"""The registry of export formats. A new format is a function and a row here.

The function is an `ExportWriter`. The command line reads its list of formats from here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.registry import Kind, Registry

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow
    from autointerp.db.queries.scores import ScoreFloor
    from autointerp.project.context import Context


@dataclass(frozen=True)
class ExportRequest:
    """What the user wants written, and where.

    Attributes:
        out: The folder to write; tables of labels also take a file.
        form: The name of a format.
        min_score: Labels that do not reach this score are left out.
        labelers: Ids of the labelers whose labels are written; None writes the labels that count.
        push: The repository of the hub, OWNER/NAME, that the export is uploaded to.
        private: True makes a new repository private.
    """

    out: Path
    form: str = "bundle"
    min_score: ScoreFloor | None = None
    labelers: Collection[int] | None = None
    push: str | None = None
    private: bool = False


ExportWriter = Callable[["Context", Sequence["DictionaryRow"], ExportRequest], Path]
"""Writes the export of some stored dictionaries; returns the folder or the file.

Raises:
    UsageError: The target holds something else.
    AutointerpError: The format cannot express a dictionary exactly, or the target cannot be written.
"""


@dataclass(frozen=True)
class ExportFormat(Kind[ExportWriter]):
    """A row of the registry: a format, whose path is that of its writer.

    Attributes:
        needs_labels: True where an export without a label would be empty.
        takes_several: True where the dictionaries of several layers go into one export.
        of_database: True where the export is written from the database alone, without the weights.
    """

    needs_labels: bool = True
    takes_several: bool = False
    of_database: bool = False


_HERE = "autointerp.transfer.exporting"
_FILES = f"{_HERE}.tools:export_files"
FORMATS = Registry(
    "export format",
    [
        ExportFormat("bundle", "one folder that another workspace can import", f"{_HERE}.bundle:export_bundle"),
        ExportFormat("saelens", "the files that SAELens loads", _FILES, needs_labels=False),
        ExportFormat("sparsify", "the files that sparsify loads", _FILES, needs_labels=False),
        ExportFormat("dictionary-learning", "the files that dictionary_learning loads", _FILES, needs_labels=False),
        ExportFormat("neuronpedia", "the rows that Neuronpedia imports", f"{_HERE}.neuronpedia:export_neuronpedia"),
        ExportFormat("jsonl", "labels alone, as JSON lines", f"{_HERE}.tables:export_jsonl", of_database=True),
        ExportFormat("parquet", "labels alone, as a Parquet table", f"{_HERE}.tables:export_parquet", of_database=True),
        ExportFormat(
            "html",
            "a gallery that a browser opens from its folder",
            f"{_HERE}.gallery:export_gallery",
            takes_several=True,
            of_database=True,
        ),
    ],
)
