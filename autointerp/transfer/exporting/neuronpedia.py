"""Exports as the rows that Neuronpedia imports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.dictionaries.storage import load_dictionary
from autointerp.export.neuronpedia import write_neuronpedia
from autointerp.transfer.exporting.formats import ExportRequest
from autointerp.transfer.exporting.provenance import provenance_of
from autointerp.views.feature import histogram_levels
from autointerp.views.labeled import export_rows

if TYPE_CHECKING:
    from autointerp.db.models import DictionaryRow
    from autointerp.project.context import Context


def export_neuronpedia(ctx: Context, rows: Sequence[DictionaryRow], request: ExportRequest) -> Path:
    """Write the rows of one dictionary; see `ExportWriter`."""
    (row,) = rows
    labels = export_rows(ctx, row, request.min_score, request.labelers)
    with ctx.db.session() as session:
        features = queries.features.of_dictionary(session, row.id)
        histograms = {feature.latent_index: histogram_levels(feature) for feature in features}
    directions = load_dictionary(ctx.workspace.dictionary_dir(row.name), row.weights_sha256).directions
    provenance = provenance_of(ctx, row, request.labelers)
    return write_neuronpedia(request.out, provenance, labels, directions, histograms)
