"""`export`: a dictionary that carries its labels, in the form asked for."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sqlalchemy import select

from autointerp.db import queries
from autointerp.db.engine import HEAD
from autointerp.db.models import Crop, Dictionary, Feature, Image, Label, Labeler, Run
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.export.bundle import write_bundle
from autointerp.export.formats import write_other
from autointerp.export.parquet import write_label_table
from autointerp.export.rows import write_lines
from autointerp.export.single import write_file
from autointerp.settings import HERE_ALONE
from autointerp.stages.carry import tables_of
from autointerp.stages.context import Context
from autointerp.stages.read import export_rows, find_dictionary, histogram_levels, render_sheet, shown_features
from autointerp.version import VERSION

OTHERS = ("saelens", "sparsify", "dictionary-learning")
"""Formats of other tools; these are written for a dictionary without labels too."""
FORMATS = ("bundle", *OTHERS, "neuronpedia", "jsonl", "parquet", "html")
_PACKAGES = ("diffusers", "huggingface_hub", "numpy", "safetensors", "torch", "transformers")


@dataclass(frozen=True)
class ExportRequest:
    """What is written where.

    `min_score` leaves labels below it out. `labelers` are whose labels alone are carried; those that
    count if None. `push` is the
    repository OWNER/NAME of the hub that it is uploaded to; one that has to be made is `private` or not.
    """

    out: Path
    form: str = "bundle"
    min_score: float | None = None
    labelers: Collection[int] | None = None
    push: str | None = None
    private: bool = False


@dataclass(frozen=True)
class Exported:
    """Where an export is, how many labels it carries, and its page where it was uploaded."""

    path: Path
    labels: int
    page: str | None = None


def run_export(ctx: Context, targets: Sequence[tuple[str, str | None]], request: ExportRequest) -> Exported:
    """Write the export of a layer, or of several into one gallery.

    Args:
        ctx: The workspace.
        targets: (layer, dictionary or None) of each.
        request: What is written where.

    Raises:
        UsageError: The format does not exist or takes one layer, or the target holds something else.
        AutointerpError: A layer has no labels, the format cannot express the dictionary exactly, the target cannot be
            written, or the hub refuses it.
    """
    if request.form not in FORMATS:
        raise UsageError(f"there is no export format {request.form!r}", nearest(request.form, FORMATS))
    if len(targets) > 1 and request.form != "html":
        raise UsageError(f"an export as {request.form} is of one layer", "name one; html takes several")
    rows = [find_dictionary(ctx, *target) for target in targets]
    labels = sum(_labels(ctx, row, request) for row in rows)
    if request.form == "html":
        from autointerp.stages.gallery import export_gallery

        path = export_gallery(ctx, rows, request)
    else:
        path = _write(ctx, rows[0], request)
    if request.push is None:
        return Exported(path, labels)
    from autointerp.hub import upload

    ctx.progress.note(f"uploading {path} to {request.push}")
    message = f"{', '.join(row.name for row in rows)}, exported by autointerp {VERSION}"
    return Exported(path, labels, upload(path, request.push, message, request.private))


def _labels(ctx: Context, row: Dictionary, request: ExportRequest) -> int:
    """How many labels an export of the dictionary carries; none is an error where labels are all there is to it."""
    with ctx.db.session() as session:
        shown = shown_features(session, row, request.min_score, request.labelers)
        count = sum(one.row.status == "ok" for one in shown)
    if not count and request.form not in OTHERS:
        floor = "" if request.min_score is None else f" of score {request.min_score:g} or more"
        raise AutointerpError(
            f"{row.name} has no labels{floor}", f"run `autointerp label --layer {row.layer}`, or name a --dictionary"
        )
    return count


def _write(ctx: Context, row: Dictionary, request: ExportRequest) -> Path:
    if request.form in OTHERS:
        return _write_other(ctx, row, request)
    if request.form == "bundle":
        return _write_bundle(ctx, row, request)
    rows = export_rows(ctx, row, request.min_score, request.labelers)
    if request.form == "neuronpedia":
        from autointerp.dictionaries.storage import load_dictionary
        from autointerp.export.neuronpedia import write_neuronpedia

        with ctx.db.session() as session:
            levels = {f.latent_index: histogram_levels(f) for f in queries.features(session, row.id)}
        weights = load_dictionary(ctx.workspace.dictionary_dir(row.name))
        return write_neuronpedia(
            request.out, provenance_of(ctx, row, request.labelers), rows, weights.directions, levels
        )
    if request.form == "parquet":
        return write_file(request.out / "labels.parquet", lambda path: write_label_table(rows, path))
    return write_file(request.out / "labels.jsonl", lambda path: write_lines(rows, path))


def _write_bundle(ctx: Context, row: Dictionary, request: ExportRequest) -> Path:
    rows = export_rows(ctx, row, request.min_score, request.labelers)
    folder = ctx.workspace.dictionary_dir(row.name)
    provenance, sheet = provenance_of(ctx, row, request.labelers), render_sheet(ctx, row, count=12)
    with ctx.db.session() as session:
        kept = None
        if request.min_score is not None or request.labelers is not None:
            shown = shown_features(session, row, request.min_score, request.labelers)
            kept = {one.label.label.id for one in shown if one.label is not None}
        tables = tables_of(session, row.id, kept)
        return write_bundle(request.out, folder, provenance, rows, tables, HEAD, sheet, ctx.progress)


def _write_other(ctx: Context, row: Dictionary, request: ExportRequest) -> Path:
    from autointerp.dictionaries.storage import load_dictionary

    with ctx.db.session() as session:
        harvested = bool(queries.counts(session, row.id).features)
    rows = export_rows(ctx, row, request.min_score, request.labelers) if harvested else []
    weights = load_dictionary(ctx.workspace.dictionary_dir(row.name))
    return write_other(request.out, request.form, weights, provenance_of(ctx, row, request.labelers), rows)


def provenance_of(ctx: Context, row: Dictionary, labelers: Collection[int] | None = None) -> dict[str, Any]:
    """What an export says of where its dictionary comes from: JSON values, enough to make it again.

    Of `labelers` alone, if given, it says that they named features.
    """
    return {
        "name": row.name,
        "identity": row.identity,
        "kind": row.kind,
        "model": row.model,
        "revision": row.revision,
        "layer": row.layer,
        "hookpoint": row.hookpoint,
        "signal": row.signal,
        "stream": row.stream,
        "steps": row.steps,
        "grid": [row.grid_rows, row.grid_cols],
        "seed": row.seed,
        "images": row.images,
        "fvu": row.fvu,
        "l0": row.l0,
        "figures": row.figures,
        "weights_sha256": row.weights_sha256,
        "made_of": row.config.get("fit", {}),
        **_harvest(ctx, row),
        "labelers": _labelers(ctx, row, labelers),
        "settings": _settings(ctx),
        "versions": _versions(),
    }


def _harvest(ctx: Context, row: Dictionary) -> dict[str, Any]:
    """What its crops were taken from, where there are any."""
    with ctx.db.session() as session:
        query = select(Run).where(Run.dictionary_id == row.id, Run.kind == "harvest", Run.status == "done")
        run = session.scalar(query.order_by(Run.id.desc()).limit(1))
        if run is None:
            return {}
        mine = select(Crop.image_id).join(Feature).where(Feature.dictionary_id == row.id)
        texts = session.scalars(select(Image.prompt).where(Image.id.in_(mine)).distinct()).all()
        made = {"identity": run.identity, **run.config}
    prompts = {"sha256": made.get("prompts"), "source": _named(ctx.settings.prompts), "of_kept_images": len(texts)}
    return {"harvest": made, "prompts": prompts}


def _named(prompts: str) -> str:
    """Where prompts come from; of a file its name alone, as the folders above it are nobody's business."""
    return Path(prompts).name if "/" in prompts and not prompts.startswith("datasets:") else prompts


def _labelers(ctx: Context, row: Dictionary, labelers: Collection[int] | None) -> list[dict[str, Any]]:
    """Who named its features (of `labelers`, if given), each with what it was told."""
    columns = ("kind", "model", "prompt_hash", "config_hash")
    with ctx.db.session() as session:
        mine = select(Label.labeler_id).join(Feature).where(Feature.dictionary_id == row.id)
        found = session.scalars(select(Labeler).where(Labeler.id.in_(mine)).order_by(Labeler.id)).all()
        chosen = [one for one in found if labelers is None or one.id in labelers]
        return [{name: getattr(labeler, name) for name in columns} for labeler in chosen]


def _settings(ctx: Context) -> dict[str, Any]:
    """The settings by which the same would be made, for a workspace that an import makes."""
    if ctx.settings.images_dir is not None:
        return {}  # They name pictures that do not travel.
    given = json.loads(ctx.workspace.settings.model_dump_json(exclude=set(HERE_ALONE), exclude_none=True))
    if _named(given["prompts"]) != given["prompts"]:
        del given["prompts"]
    return dict(given)


def _versions() -> dict[str, str]:
    """What wrote the export, as far as it is installed."""
    import platform

    found = {"autointerp": VERSION, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
