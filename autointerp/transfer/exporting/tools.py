"""Exports as the files of other tools, which hold the dictionary, with its labels beside it where it has any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.dictionaries.storage import load_dictionary
from autointerp.export.tool_files import write_tool_files
from autointerp.transfer.exporting.formats import ExportRequest
from autointerp.transfer.exporting.provenance import provenance_of
from autointerp.views.labeled import export_rows

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow
    from autointerp.project.context import Context


def export_files(ctx: Context, rows: Sequence[DictionaryRow], request: ExportRequest) -> Path:
    """Write one dictionary as another tool's files; see `ExportWriter`. The tool is the request's `form`."""
    (row,) = rows
    with ctx.db.session() as session:
        is_harvested = bool(queries.dictionaries.counts(session, row.id).features)
    labels = export_rows(ctx, row, request.min_score, request.labelers) if is_harvested else []
    dictionary = load_dictionary(ctx.workspace.dictionary_dir(row.name), row.weights_sha256)
    provenance = provenance_of(ctx, row, request.labelers)
    return write_tool_files(request.out, request.form, dictionary, provenance, labels)
