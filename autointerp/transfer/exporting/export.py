"""Writing the export of one layer, or of several into one gallery, and uploading it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError, UsageError
from autointerp.progress import note_before_torch
from autointerp.project.targets import Target, find_dictionary
from autointerp.transfer.exporting.formats import FORMATS, ExportRequest
from autointerp.version import VERSION
from autointerp.views.labeled import labeled_features

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow
    from autointerp.project.context import Context


@dataclass(frozen=True)
class ExportResult:
    """Where an export lies, how many labels it carries, and its page on the hub if it was uploaded."""

    path: Path
    labels: int
    page: str | None = None


def run_export(ctx: Context, targets: Sequence[Target], request: ExportRequest) -> ExportResult:
    """Write the export of the dictionaries that the targets mean.

    Args:
        ctx: The workspace.
        targets: One layer; several for a format that takes several.
        request: What to write, and where.

    Raises:
        UsageError: The format does not exist or takes one layer, or the target holds something else.
        AutointerpError: A layer has no labels, the weights are not those that the database knows, the format cannot
            express the dictionary exactly, the target cannot be written, or the hub refuses the upload.
    """
    export_format = FORMATS.check(request.form)
    if len(targets) > 1 and not export_format.takes_several:
        raise UsageError(f"an export as {request.form} is of one layer", "name one; html takes several")
    rows = [find_dictionary(ctx, target) for target in targets]
    for row in rows:
        _check_weights(ctx, row, export_format.of_database)
    labels = sum(_count_labels(ctx, row, request, export_format.needs_labels) for row in rows)
    note_before_torch(ctx.progress, f"writing {', '.join(row.name for row in rows)} as {request.form}")
    write = export_format.load()
    path = write(ctx, rows, request)
    if request.push is None:
        return ExportResult(path, labels)
    from autointerp.hub import upload

    ctx.progress.note(f"uploading {path} to {request.push}")
    message = f"{', '.join(row.name for row in rows)}, exported by autointerp {VERSION}"
    return ExportResult(path, labels, upload(path, request.push, message, request.private))


def _check_weights(ctx: Context, row: DictionaryRow, is_of_database: bool) -> None:
    """Compare the weights in the workspace with those that the database knows.

    Labels are those of the weights that the database knows. So an export without weights is right all the same, and is
    made with a note.

    Raises:
        AutointerpError: They are missing, cut short or changed, and the export would carry them.
    """
    from autointerp.dictionaries.storage import check_dictionary

    try:
        check_dictionary(ctx.workspace.dictionary_dir(row.name), row.weights_sha256)
    except AutointerpError as error:
        if not is_of_database:
            raise
        ctx.progress.note(f"{error}; the labels are those of the weights before")


def _count_labels(ctx: Context, row: DictionaryRow, request: ExportRequest, needed: bool) -> int:
    """Return how many labels an export of a dictionary carries.

    Raises:
        AutointerpError: There are none, and the format needs some.
    """
    with ctx.db.session() as session:
        features = labeled_features(session, row, request.min_score, request.labelers)
        count = sum(feature.row.status == "ok" for feature in features)
    if not count and needed:
        floor = "" if request.min_score is None else f" of score {request.min_score} or more"
        raise AutointerpError(
            f"{row.name} has no labels{floor}", f"run `autointerp label --layer {row.layer}`, or name a --dictionary"
        )
    return count
