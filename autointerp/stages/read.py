"""What reading commands show: the state of a workspace, a feature with its crops, sheets, and rows to export."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.crops.geometry import crop_box
from autointerp.crops.maxima import level_edges
from autointerp.crops.render import contact_sheet, decode_picture, render_crop
from autointerp.db import queries
from autointerp.db.models import Dictionary, Feature, Label, LabelStatus, Score
from autointerp.errors import AutointerpError, UsageError
from autointerp.export.rows import ExportRow, ExportScore
from autointerp.stages.context import Context
from autointerp.stages.evidence import EvidenceReader
from autointerp.stages.labeler_names import chosen_labelers, labeler_names

if TYPE_CHECKING:
    from PIL import Image
    from sqlalchemy.orm import Session

    from autointerp.labeling.protocol import CropEvidence

_SHEET_CROPS = 6


def read_status(ctx: Context) -> dict[str, Any]:
    """Every dictionary with its counts, as `status --json` prints it."""
    with ctx.db.session() as session:
        rows = []
        for row in queries.all_dictionaries(session):
            counts = queries.counts(session, row.id)
            rows.append(
                {
                    "dictionary": row.name,
                    "layer": row.layer,
                    "stream": row.stream,
                    "kind": row.kind,
                    "features": row.num_latents,
                    "live": counts.features.get("live", 0),
                    "dead": counts.features.get("dead", 0),
                    "dense": counts.features.get("dense", 0),
                    "labels": counts.labels.get("ok", 0),
                    "uninterpretable": counts.labels.get("uninterpretable", 0),
                    "failed": counts.labels.get("failed", 0),
                    "scores": counts.scores,
                    "images": counts.images,
                    "crops": counts.crops,
                    "fvu": row.fvu,
                    "l0": row.l0,
                    "figures": row.figures,
                }
            )
        calls = _calls(queries.call_counts(session))
    found = {"workspace": str(ctx.workspace.path), "model": ctx.settings.model}
    return {**found, "dictionaries": rows, "calls": calls}


def _calls(counted: queries.CallCounts) -> dict[str, Any]:
    """What remote models were asked and what it cost; `expected` is the rest at the mean cost of a feature so far."""
    known = counted.named and counted.answers and not counted.unpriced
    return {
        "calls": counted.calls,
        "answers": counted.answers,
        "input_tokens": counted.input_tokens,
        "output_tokens": counted.output_tokens,
        "spent": counted.spent,
        "unpriced": counted.unpriced,
        "remaining": counted.unnamed,
        "expected": counted.spent / counted.named * counted.unnamed if known else None,
    }


def find_dictionary(ctx: Context, layer: str | None, dictionary: str | None) -> Dictionary:
    """The dictionary a reading command means: named, or the one of a layer.

    Raises:
        UsageError: There is none of this name.
        AutointerpError: The layer has none yet.
    """
    name = dictionary or (ctx.settings.dictionary.names.get(layer) if layer else None)
    if name is not None:
        return ctx.dictionary_named(name)
    assert layer is not None
    row = ctx.dictionary_of(layer)
    if row is None:
        raise AutointerpError(f"layer {layer} has no dictionary here", f"run `autointerp label --layer {layer}` first")
    return row


def find_feature(ctx: Context, name: str) -> tuple[Dictionary, Feature]:
    """The feature written `DICTIONARY:INDEX`.

    Raises:
        UsageError: It is not written so, or does not exist.
    """
    dictionary_name, colon, index = name.rpartition(":")
    if not colon or not index.isdecimal() or len(index) > 9:
        raise UsageError(f"{name!r} is no feature", "write DICTIONARY:INDEX, e.g. shapes.mid.topk:17")
    row = find_dictionary(ctx, None, dictionary_name)
    with ctx.db.session() as session:
        feature = queries.feature(session, row.name, int(index))
        if feature is None:
            hint = (
                f"features go from 0 to {row.num_latents - 1}"
                if int(index) >= row.num_latents
                else f"run `autointerp harvest --layer {row.layer}` first"
            )
            raise UsageError(f"{row.name} has no feature {index}", hint)
        session.expunge(feature)
    return row, feature


def read_feature(ctx: Context, name: str, labeler: str | None = None) -> dict[str, Any]:
    """All that is known of one feature, as `show --json` prints it; `label` counts, or is the labeler's."""
    row, feature = find_feature(ctx, name)
    chosen = chosen_labelers(ctx, labeler)
    tokens = _Tokens(ctx) if row.stream == "text" else None
    with ctx.db.session() as session:
        every: tuple[LabelStatus, ...] = ("ok", "uninterpretable", "failed")
        label = queries.best_labels(session, row.id, chosen, every, [feature.id]).get(feature.id)
        labels = _side_by_side(session, row, feature, None if label is None else label.label.id)
        crops = [
            {
                "image": image.image_index,
                "prompt": image.prompt,
                "role": crop.role,
                "neighbour": None if crop.neighbour is None else f"{row.name}:{crop.neighbour}",
                "split": crop.split,
                "activation": round(crop.activation, 4),
                "cell": None if crop.row is None else [crop.row, crop.col],
                "token": None if tokens is None or crop.col is None else tokens.at(image.prompt, crop.col),
                "step": crop.step,
                "box": [crop.box_left, crop.box_top, crop.box_right, crop.box_bottom],
            }
            for crop, image in queries.crops_of_feature(session, feature.id)
        ]
        return {
            "feature": f"{row.name}:{feature.latent_index}",
            "stream": row.stream,
            "state": feature.state,
            "density": feature.density,
            "max_activation": feature.max_activation,
            "mean_activation": feature.mean_activation,
            "histogram": [{"from": level, "cells": cells} for level, cells in histogram_levels(feature)],
            "steps": {int(step): share for step, share in feature.steps.items()},
            "neighbours": _neighbours(session, row, feature),
            "atom": _atom(feature, tokens),
            "label": None if label is None else _label(label.label, label.labeler.kind),
            "scores": next((one["scores"] for one in labels if one["counts"]), []),
            "labels": labels,
            "crops": crops,
        }


def _side_by_side(session: Session, row: Dictionary, feature: Feature, counts: int | None) -> list[dict[str, Any]]:
    """What each labeler says of a feature, oldest first, with its scores, and whether it is the label that counts."""
    said = queries.current_labels(session, row.id, feature_ids=[feature.id]).get(feature.id, [])
    scores = queries.scores_of_labels(session, [one.label.id for one in said])
    names = labeler_names(queries.labelers_with_labels(session))
    return [
        {
            **_label(one.label, names[one.labeler.id]),
            "counts": one.label.id == counts,
            "scores": [
                {"method": s.method, "value": s.value, "ci_low": s.ci_low, "ci_high": s.ci_high, "note": s.note}
                for s in scores.get(one.label.id, [])
            ],
        }
        for one in said
    ]


def histogram_levels(feature: Feature) -> list[tuple[float, int]]:
    """(lower edge, cells) of each level of activation, from the weakest that any cell is on to the strongest."""
    edges = level_edges()
    first = feature.histogram.get("first", 0)
    return [(float(edges[first + i]), cells) for i, cells in enumerate(feature.histogram.get("counts", []))]


def _neighbours(session: Session, row: Dictionary, feature: Feature) -> list[dict[str, Any]]:
    """The features that fire with it most, with their names and the Jaccard index of their cells."""
    found = []
    for latent, share in feature.neighbours.items():
        other = queries.feature(session, row.name, int(latent))
        best = None if other is None else queries.best_label(session, other.id)
        name = "" if best is None else best.label.name
        found.append({"feature": f"{row.name}:{latent}", "name": name, "jaccard": share})
    return found


class _Tokens:
    """The prompts' text tokens by number, as far as the model's tokenizers are here."""

    def __init__(self, ctx: Context) -> None:
        from autointerp.diffusion.tokens import TokenReader

        self.ctx = ctx
        self.reader: TokenReader | None = TokenReader(ctx.description)

    def at(self, prompt: str, number: int) -> str | None:
        """The prompt's token of this number; None where it cannot be read, with a note."""
        if self.reader is None:
            return None
        try:
            return self.reader.read(prompt)[number]
        except AutointerpError as error:
            self.ctx.progress.note(f"tokens are given by number: {error}")
            self.reader = None
            return None


def _atom(feature: Feature, tokens: _Tokens | None) -> dict[str, Any] | None:
    """Where the atom of an ITDA dictionary was seen."""
    if feature.atom_prompt is None:
        return None
    token = None if tokens is None else tokens.at(feature.atom_prompt, feature.atom_col or 0)
    return {
        "prompt": feature.atom_prompt,
        "seed": feature.atom_seed,
        "step": feature.atom_step,
        "cell": [feature.atom_row, feature.atom_col],
        "token": token,
    }


def _label(label: Label, labeler: str) -> dict[str, Any]:
    return {
        "status": label.status,
        "name": label.name,
        "explanation": label.explanation,
        "confidence": label.confidence,
        "labeler": labeler,
        "error": label.error,
    }


def write_crops(ctx: Context, name: str, folder: Path) -> int:
    """Write a feature's marked crops, and an atom's own place, as PNG files; returns how many."""
    row, feature = find_feature(ctx, name)
    crops = EvidenceReader(ctx.db, row).crops([feature.id])[feature.id]
    pictures = {f"{number:03}-{crop.role}": render(crop) for number, crop in enumerate(crops)}
    if feature.atom_prompt is not None:
        pictures["atom"] = render_atom(ctx, row, feature)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for what, picture in pictures.items():
            picture.save(folder / f"{feature.latent_index}-{what}.png")
    except OSError as error:
        raise AutointerpError(f"cannot write to {folder}: {error.strerror or error}", "name another folder") from None
    return len(pictures)


def render_atom(ctx: Context, row: Dictionary, feature: Feature, side: int = 224) -> Image.Image:
    """The cell that an atom was taken from, marked in its image; generated again where it is not stored."""
    from autointerp.diffusion.generation import ImageJob, generate, generation_hash
    from autointerp.diffusion.layers import grid_at

    prompt, seed, cell = feature.atom_prompt, feature.atom_seed, (feature.atom_row, feature.atom_col)
    if prompt is None or seed is None or cell[0] is None or cell[1] is None:
        raise ValueError(f"feature {feature.latent_index} has no atom")
    # Its picture and its own size, if any, are known of the job that it was taken from.
    jobs = (job for job in ctx.jobs(0, row.images or 0) if (job.prompt, job.seed) == (prompt, seed))
    job = next(jobs, ImageJob(0, prompt, seed))
    wanted = generation_hash(ctx.description.name, ctx.description.revision, job, ctx.generation)
    with ctx.db.session() as session:
        stored = queries.picture(session, wanted)
    if stored is not None:
        picture = decode_picture(stored)
    else:
        _, (picture,) = next(generate(ctx.model, [job], ctx.generation))
    if row.stream == "text":
        return render_crop(picture, (0, 0, *picture.size), side=side)
    grid = grid_at(ctx.description, ctx.layer_of(row), ctx.generation.of(job).size)
    place = np.zeros(grid, np.float32)
    place[cell] = 1
    box = crop_box((cell[0], cell[1]), grid, picture.size)
    return render_crop(picture, box, place, (cell[0], cell[1]), side=side, grid=grid)


def render(crop: CropEvidence, side: int = 224) -> Image.Image:
    """A stored crop as people see it: cut with its context, the cells where the feature fires outlined."""
    placed = crop.grid != (1, 1)  # A text token has no place in the picture.
    return render_crop(crop.picture, crop.box, crop.activation_map, crop.cell, placed, side, crop.grid)


def best_features(ctx: Context, row: Dictionary, count: int) -> list[tuple[Feature, Label, float | None]]:
    """Labeled features worth looking at: by score times confidence, each name once."""
    with ctx.db.session() as session:
        features = {f.id: f for f in queries.features(session, row.id, state="live")}
        best = queries.best_labels(session, row.id)
        scores = queries.scores_of_labels(session, [b.label.id for b in best.values()])
        found = []
        for feature_id, b in best.items():
            if feature_id in features:
                found.append((features[feature_id], b.label, queries.headline_score(scores.get(b.label.id, []))))
        session.expunge_all()
    found.sort(key=lambda item: (-(item[2] or 0.0) * item[1].confidence, item[0].latent_index))
    first: dict[str, tuple[Feature, Label, float | None]] = {}
    for item in found:
        first.setdefault(item[1].name, item)
    return list(first.values())[:count]


def render_sheet(ctx: Context, row: Dictionary, count: int = 16, columns: int = 2) -> bytes | None:
    """A contact sheet of the best labeled features, as PNG; None where nothing with crops is labeled."""
    chosen = best_features(ctx, row, count)
    crops = EvidenceReader(ctx.db, row).crops([feature.id for feature, _, _ in chosen])
    cards = []
    for feature, label, score in chosen:
        shown = [c for c in crops[feature.id] if c.role != "negative"]
        if not shown:
            continue
        shown.sort(key=lambda c: -c.activation)
        figure = "not scored" if score is None else f"score {score:.2f}"
        subtitle = f"{row.name}:{feature.latent_index}   {figure}   fires in {feature.density:.1%} of cells"
        cards.append((label.name, subtitle, [render(c) for c in shown[:_SHEET_CROPS]]))
    if not cards:
        return None
    sheet = contact_sheet(
        cards,
        columns=columns,
        heading=f"What {row.layer} of {row.model} represents",
        note="Each row: where one feature of the dictionary fires most. Outlined: the cells in which it is active.",
    )
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def write_sheet(ctx: Context, row: Dictionary, path: Path, count: int = 16, columns: int = 2) -> Path:
    """Write a contact sheet (PNG) of the best labeled features; returns its path.

    Raises:
        AutointerpError: Nothing is labeled, or the file cannot be written.
    """
    sheet = render_sheet(ctx, row, count, columns)
    if sheet is None:
        raise AutointerpError(f"{row.name} has no labels yet", f"run `autointerp label --layer {row.layer}` first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sheet)
    except OSError as error:
        raise AutointerpError(f"cannot write {path}: {error.strerror or error}", "name another file") from None
    return path


@dataclass(frozen=True)
class Shown:
    """A feature as an export shows it: with the label that counts, if it has one, and that label's scores."""

    feature: Feature
    label: queries.BestLabel | None
    scores: list[Score]

    @property
    def score(self) -> float | None:
        """The one figure of its label."""
        return queries.headline_score(self.scores)

    @property
    def row(self) -> ExportRow:
        """What `labels.jsonl` says of it."""
        feature, found = self.feature, self.label
        return ExportRow(
            index=feature.latent_index,
            name=found.label.name if found else "",
            explanation=found.label.explanation if found else "",
            status=found.label.status if found else "unlabeled",
            confidence=found.label.confidence if found else None,
            labeler=found.labeler.kind if found else "",
            scores=tuple(
                ExportScore(method=s.method, value=s.value, ci_low=s.ci_low, ci_high=s.ci_high) for s in self.scores
            ),
            state=feature.state,
            density=feature.density,
            max_activation=feature.max_activation,
            mean_activation=feature.mean_activation,
        )


def shown_features(
    session: Session, row: Dictionary, min_score: float | None = None, labelers: Collection[int] | None = None
) -> list[Shown]:
    """A dictionary's features in the order of the latents, each with the label that an export shows.

    Args:
        session: An open one.
        row: The dictionary.
        min_score: Labels below it are left out, and labels without a score.
        labelers: Whose labels alone are shown; those that count if None.
    """
    best = queries.best_labels(session, row.id, labelers, statuses=("ok", "uninterpretable"))
    scores = queries.scores_of_labels(session, [b.label.id for b in best.values()])
    shown = []
    for feature in queries.features(session, row.id):
        found = best.get(feature.id)
        one = Shown(feature, found, scores.get(found.label.id, []) if found else [])
        if found and min_score is not None and (one.score or 0.0) < min_score:
            one = Shown(feature, None, [])
        shown.append(one)
    return sorted(shown, key=lambda one: one.feature.latent_index)


def export_rows(
    ctx: Context, row: Dictionary, min_score: float | None = None, labelers: Collection[int] | None = None
) -> list[ExportRow]:
    """A row a feature, see `shown_features`.

    Raises:
        AutointerpError: The dictionary has no features yet.
    """
    with ctx.db.session() as session:
        rows = [one.row for one in shown_features(session, row, min_score, labelers)]
    if not rows:
        raise AutointerpError(f"{row.name} has no features yet", f"run `autointerp label --layer {row.layer}` first")
    return rows
