"""Storing an imported dictionary: its weights, its row, and the labels or the rows that came with it.

The rows of a bundle are restored as they were exported, if they belong to the workspace's model. Of any other files the
dictionary and its labels are stored.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from autointerp.db import models, queries
from autointerp.db.queries.carrying import InconsistentRows
from autointerp.db.queries.labelers import LabelerKey
from autointerp.errors import AutointerpError
from autointerp.project.context import identity
from autointerp.texts import EXPLANATION, NAME, clean
from autointerp.transfer.bundle_rows import restore_rows
from autointerp.transfer.importing.planning import ImportPlan, plan_import
from autointerp.transfer.importing.rebuilding import warn_of_rebuilding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autointerp.db import Session
    from autointerp.export.rows import ExportRow
    from autointerp.project.context import Context
    from autointerp.transfer.importing.placement import ImportRequest, Placement
    from autointerp.transfer.importing.reading import CarriedRows, DictionaryFiles

_STORED = ("ok", "uninterpretable")
"""The labels that are stored; a failure of another workspace says nothing here."""
_WORD = 32
"""The most characters of a labeler's kind and of a score's method."""


def run_import(ctx: Context, files: DictionaryFiles, request: ImportRequest, dry_run: bool = False) -> ImportPlan:
    """Store a dictionary that was read, with the labels that came with it; return its plan, with the stored row.

    Raises:
        UsageError: See `plan_import`.
        AutointerpError: See `plan_import`; or the rows of a bundle contradict each other; or the user asked for a check
            and the model cannot be run.
    """
    plan = plan_import(ctx, files, request)
    for note in plan.notes:
        ctx.progress.note(f"{plan.name}: {note}")
    if dry_run or plan.row is not None:
        return plan
    warning = None
    if plan.placement is not None:
        warning = warn_of_rebuilding(ctx, files.imported.dictionary, plan.placement, request.check)
    if warning is not None:
        ctx.progress.note(f"{plan.name}: warning: {warning}")
    with ctx.workspace.lock():
        # Plan again inside the lock, because another process may have stored the dictionary meanwhile.
        plan = plan_import(ctx, files, request)
        if plan.row is not None:
            return plan
        if warning is not None:
            plan = replace(plan, notes=(*plan.notes, warning))
        if plan.placement is not None:
            row = _store(ctx, plan, plan.placement)
        else:
            assert files.rows is not None
            row = _restore(ctx, plan, files.rows)
        return replace(plan, row=row)


def _restore(ctx: Context, plan: ImportPlan, rows: CarriedRows) -> models.DictionaryRow:
    """Copy the weights byte by byte and store all rows; return the dictionary's row, detached."""
    folder = ctx.workspace.dictionary_dir(plan.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("weights.safetensors", "cfg.json"):
            shutil.copyfile(rows.bundle / name, folder / name)
        with ctx.db.session() as session:
            return queries.dictionaries.detached(session, restore_rows(session, rows.bundle, plan.name))
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, InconsistentRows):
            raise AutointerpError(f"the rows of {plan.files.path} cannot be: {error}", "export it again") from error
        raise


def _store(ctx: Context, plan: ImportPlan, placement: Placement) -> models.DictionaryRow:
    """Store the weights, the row and the labels of a dictionary; return the row, detached."""
    from autointerp.dictionaries.storage import save_dictionary

    files, config, layer = plan.files, plan.config, placement.layer
    dictionary, provenance = files.imported.dictionary, files.imported.provenance
    # What an earlier import assumed holds still: its export came here.
    earlier = [note for note in provenance.get("assumed") or [] if isinstance(note, str)]
    assumed = list(dict.fromkeys([*earlier, *plan.notes]))
    origin = {"path": files.path, "format": files.format, "assumed": assumed, "files": files.hashes}
    digest = save_dictionary(
        dictionary,
        ctx.workspace.dictionary_dir(plan.name),
        {"layer": layer.name, "grid": list(layer.grid), **config, "import": origin},
    )
    figures = provenance.get("figures")
    row = models.DictionaryRow(
        name=plan.name,
        identity=plan.identity,
        kind=dictionary.kind,
        model=config["model"],
        revision=config["revision"],
        layer=layer.name,
        hookpoint=layer.hookpoint,
        signal=layer.signal,
        stream=layer.stream,
        steps=list(placement.steps),
        grid_rows=layer.grid[0],
        grid_cols=layer.grid[1],
        d_in=dictionary.d_in,
        num_latents=dictionary.num_latents,
        k=dictionary.k,
        config={
            "import": {**origin, "provenance": provenance},
            "fit": config,
            "overrides": {},
            "fit_identity": plan.identity,
        },
        weights_sha256=digest,
        fvu=_figure(provenance.get("fvu")),
        l0=_figure(provenance.get("l0")),
        figures=figures if isinstance(figures, dict) else {},
    )
    with ctx.db.session() as session:
        dictionary_id = queries.dictionaries.add(session, row)
        _store_labels(session, dictionary_id, files)
        return queries.dictionaries.detached(session, dictionary_id)


def _figure(value: Any) -> float | None:
    """Return a figure of another tool's record, if it is a number."""
    return float(value) if isinstance(value, int | float) else None


def _store_labels(session: Session, dictionary_id: int, files: DictionaryFiles) -> None:
    """Store the labels that came with a dictionary, with the features they name and their scores.

    Each labeler becomes a labeler of this import. A labeler of the same kind in this workspace is another one, because
    it would give these features other labels.
    """
    if not files.labels:
        return
    queries.bulk.insert_many(session, models.Feature, [_feature(dictionary_id, row) for row in files.labels])
    feature_ids = queries.features.ids_by_index(session, dictionary_id)
    labeled = [row for row in files.labels if row.status in _STORED]
    origin = {"import": files.path, "format": files.format, "files": files.hashes}
    kinds = dict.fromkeys(_labeler_kind(row) for row in labeled)
    labelers = {
        kind: queries.labelers.ensure(session, LabelerKey(kind, config_hash=identity(origin)), origin).id
        for kind in kinds
    }
    labels = [
        {
            "feature_id": feature_ids[row.index],
            "labeler_id": labelers[_labeler_kind(row)],
            "status": row.status,
            "name": clean(row.name, NAME),
            "explanation": clean(row.explanation, EXPLANATION),
            "confidence": row.confidence or 0.0,
            "told_apart_from": list(row.told_apart_from) if row.told_apart_from or row.same_as else None,
            "same_as": list(row.same_as) if row.told_apart_from or row.same_as else None,
            "difference": clean(row.difference, NAME),
            "name_before": clean(row.name_before, NAME),
        }
        for row in labeled
    ]
    queries.bulk.insert_many(session, models.Label, labels)
    label_ids = queries.labels.ids_by_feature(session, dictionary_id)
    of_row = {row.index: label_ids[feature_ids[row.index]] for row in labeled}
    queries.bulk.insert_many(session, models.Score, _scores(labeled, of_row))


def _labeler_kind(row: ExportRow) -> str:
    """Return the kind of the labeler that a label is stored under."""
    return (row.labeler or "import")[:_WORD]


def _feature(dictionary_id: int, row: ExportRow) -> dict[str, Any]:
    """Return the columns of a feature that a label names."""
    return {
        "dictionary_id": dictionary_id,
        "latent_index": row.index,
        "density": row.density,
        "max_activation": row.max_activation,
        "mean_activation": row.mean_activation or 0.0,
        "state": row.state if row.state in get_args(models.State) else "live",
    }


def _scores(rows: Sequence[ExportRow], label_ids: dict[int, int]) -> list[dict[str, Any]]:
    """Return the columns of the scores of labels; `label_ids` is by latent."""
    return [
        {
            "label_id": label_ids[row.index],
            "method": score.method[:_WORD],
            "value": score.value,
            "ci_low": score.ci_low,
            "ci_high": score.ci_high,
            "note": "imported",
        }
        for row in rows
        for score in row.scores
    ]
