"""Exports as bundles: the dictionary, its labels, a contact sheet, its provenance, and its rows of the database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.db.upgrade import HEAD
from autointerp.export.bundle import BundleContents, write_bundle
from autointerp.transfer.bundle_rows import tables_of
from autointerp.transfer.exporting.formats import ExportRequest
from autointerp.transfer.exporting.provenance import provenance_of
from autointerp.views.labeled import export_rows, labeled_features
from autointerp.views.sheets import render_sheet

if TYPE_CHECKING:
    from autointerp.db import Session
    from autointerp.db.models import DictionaryRow
    from autointerp.project.context import Context

_SHEET_FEATURES = 12


def export_bundle(ctx: Context, rows: Sequence[DictionaryRow], request: ExportRequest) -> Path:
    """Write the bundle of one dictionary; see `ExportWriter`."""
    (row,) = rows
    labels = export_rows(ctx, row, request.min_score, request.labelers)
    provenance = provenance_of(ctx, row, request.labelers)
    sheet = render_sheet(ctx, row, count=_SHEET_FEATURES)
    with ctx.db.session() as session:
        contents = BundleContents(
            ctx.workspace.dictionary_dir(row.name),
            provenance,
            labels,
            # The tables are read from the database while they are written.
            tuple(tables_of(session, row.id, _carried_labels(session, row, request))),
            HEAD,
            sheet,
        )
        return write_bundle(request.out, contents, ctx.progress)


def _carried_labels(session: Session, row: DictionaryRow, request: ExportRequest) -> set[int] | None:
    """Return the ids of the labels that the request chooses; None for all labels."""
    if request.min_score is None and request.labelers is None:
        return None
    features = labeled_features(session, row, request.min_score, request.labelers)
    return {feature.label.label.id for feature in features if feature.label is not None}
