"""`export`: a dictionary that carries its labels, in the form asked for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from autointerp.db import queries
from autointerp.db.models import Dictionary
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.export.bundle import write_bundle
from autointerp.export.formats import write_other
from autointerp.export.jsonl import write_jsonl
from autointerp.export.rows import ExportRow
from autointerp.stages.context import Context
from autointerp.stages.labeler_names import chosen_labelers
from autointerp.stages.read import export_rows, find_dictionary

OTHERS = ("saelens", "sparsify", "dictionary-learning")
"""Formats of other tools; these are written for a dictionary without labels too."""
FORMATS = ("bundle", *OTHERS, "jsonl")


def run_export(
    ctx: Context,
    layer: str,
    out: Path,
    dictionary: str | None = None,
    form: str = "bundle",
    min_score: float | None = None,
    labeler: str | None = None,
) -> tuple[Path, int]:
    """Write the export; returns where it is and how many labels it carries: those that count, or one labeler's.

    Raises:
        UsageError: The format does not exist, or the target holds something else.
        AutointerpError: The layer has no labels, the format cannot express the dictionary exactly, or the target
            cannot be written.
    """
    if form not in FORMATS:
        raise UsageError(f"there is no export format {form!r}", nearest(form, FORMATS))
    row = find_dictionary(ctx, layer, dictionary)
    chosen = chosen_labelers(ctx, labeler)
    if form in OTHERS:
        return _write_other(ctx, row, out, form, min_score, chosen)
    rows = export_rows(ctx, row, min_score, chosen)
    labeled = _labeled(rows)
    if not labeled:
        floor = "" if min_score is None else f" of score {min_score:g} or more"
        floor += "" if labeler is None else f" by {labeler}"
        raise AutointerpError(
            f"{row.name} has no labels{floor}", f"run `autointerp label --layer {layer}`, or name a --dictionary"
        )
    if form == "jsonl":
        return write_jsonl(out, rows), labeled
    folder = ctx.workspace.dictionary_dir(row.name)
    return write_bundle(out, folder, provenance_of(row), rows, progress=ctx.progress), labeled


def _write_other(
    ctx: Context, row: Dictionary, out: Path, form: str, min_score: float | None, labelers: Collection[int] | None
) -> tuple[Path, int]:
    from autointerp.dictionaries.storage import load_dictionary

    with ctx.db.session() as session:
        harvested = bool(queries.counts(session, row.id).features)
    rows = export_rows(ctx, row, min_score, labelers) if harvested else []
    weights = load_dictionary(ctx.workspace.dictionary_dir(row.name))
    return write_other(out, form, weights, provenance_of(row), rows), _labeled(rows)


def _labeled(rows: list[ExportRow]) -> int:
    return sum(r.status == "ok" for r in rows)


def provenance_of(row: Dictionary) -> dict[str, Any]:
    """What an export says of where its dictionary comes from."""
    return {
        "name": row.name,
        "kind": row.kind,
        "model": row.model,
        "revision": row.revision,
        "layer": row.layer,
        "hookpoint": row.hookpoint,
        "signal": row.signal,
        "stream": row.stream,
        "steps": row.steps,
        "grid": [row.grid_rows, row.grid_cols],
        "fvu": row.fvu,
        "l0": row.l0,
        "figures": row.figures,
        "weights_sha256": row.weights_sha256,
        "made_of": row.config.get("fit", {}),
    }
