"""`export`: a dictionary that carries its labels, in the form asked for."""

from __future__ import annotations

from pathlib import Path

from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.export.bundle import write_bundle
from autointerp.export.jsonl import write_jsonl
from autointerp.stages.context import Context
from autointerp.stages.read import export_rows, find_dictionary

FORMATS = ("bundle", "jsonl")


def run_export(
    ctx: Context,
    layer: str,
    out: Path,
    dictionary: str | None = None,
    form: str = "bundle",
    min_score: float | None = None,
) -> tuple[Path, int]:
    """Write the export; returns where it is and how many labels it carries.

    Raises:
        UsageError: The format does not exist, or the target holds something else.
        AutointerpError: The layer has no features, or the target cannot be written.
    """
    if form not in FORMATS:
        raise UsageError(f"there is no export format {form!r}", nearest(form, FORMATS))
    row = find_dictionary(ctx, layer, dictionary)
    rows = export_rows(ctx, row, min_score)
    labeled = sum(r.status == "ok" for r in rows)
    if not labeled:
        floor = "" if min_score is None else f" of score {min_score:g} or more"
        raise AutointerpError(
            f"{row.name} has no labels{floor}", f"run `autointerp label --layer {layer}`, or name a --dictionary"
        )
    if form == "jsonl":
        return write_jsonl(out, rows), labeled
    provenance = {
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
        "weights_sha256": row.weights_sha256,
        "made_of": row.config.get("fit", {}),
    }
    return write_bundle(out, ctx.workspace.dictionary_dir(row.name), provenance, rows, progress=ctx.progress), labeled
