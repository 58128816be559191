"""`export --format html`: the features of some dictionaries, with their crops, as a gallery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from autointerp.crops.maps import decode_map
from autointerp.db import queries
from autointerp.db.models import Dictionary, Feature, Image
from autointerp.export.gallery import (
    GalleryCrop,
    GalleryDictionary,
    GalleryFeature,
    GalleryPicture,
    write_gallery,
)
from autointerp.stages.context import Context
from autointerp.stages.read import Shown, histogram_levels, shown_features

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from autointerp.progress import Task
    from autointerp.stages.export import ExportRequest

CROPS = {"top": 12, "quantile": 12, "negative": 6}
"""Crops of each role that are shown of a feature."""
_PICTURES = 200


def export_gallery(ctx: Context, rows: Sequence[Dictionary], request: ExportRequest) -> Path:
    """Write the gallery; returns its folder.

    Raises:
        UsageError: The target holds something else.
        AutointerpError: It cannot be written.
    """
    numbers: dict[int, int] = {}
    """Image id -> number of its picture, given out as crops ask for it."""
    with ctx.db.session() as session:
        shown = [shown_features(session, row, request.min_score, request.labelers) for row in rows]
        with ctx.progress.task("export", sum(map(len, shown)), unit="feature") as bar:
            dictionaries = [
                GalleryDictionary(
                    name=row.name,
                    layer=row.layer,
                    cells="cells" if row.stream == "image" else "text tokens",
                    facts=_facts(row),
                    rows=[one.row for one in some],
                    scores=[one.score for one in some],
                    features=_features(session, row, some, numbers, bar),
                )
                for row, some in zip(rows, shown, strict=True)
            ]
            models = dict.fromkeys(row.model for row in rows)
            title = f"{', '.join(Path(model).name for model in models)} · {', '.join(row.layer for row in rows)}"
            return write_gallery(request.out, title, dictionaries, _pictures(session, numbers))


def _facts(row: Dictionary) -> list[tuple[str, str]]:
    facts = [
        ("model", Path(row.model).name if row.model.startswith("/") else row.model),
        ("layer", row.layer if row.layer == row.hookpoint else f"{row.layer}, {row.hookpoint}"),
        ("signal", row.signal),
        ("steps", ", ".join(map(str, row.steps))),
        ("kind", f"{row.kind}, {row.num_latents} latents" + (f", k {row.k}" if row.k else "")),
    ]
    facts += [("FVU", f"{row.fvu:.3f}")] if row.fvu is not None else []
    return [*facts, ("L0", f"{row.l0:.1f}")] if row.l0 is not None else facts


def _features(
    session: Session, row: Dictionary, shown: Sequence[Shown], numbers: dict[int, int], bar: Task
) -> Iterator[GalleryFeature]:
    for one in shown:
        feature = one.feature
        yield GalleryFeature(
            row=one.row,
            score=one.score,
            crops=list(_crops(session, row, feature, numbers)),
            histogram=histogram_levels(feature),
            steps=[(int(step), share) for step, share in feature.steps.items()],
            neighbours=[(int(latent), share) for latent, share in feature.neighbours.items()],
        )
        bar.advance()


def _crops(session: Session, row: Dictionary, feature: Feature, numbers: dict[int, int]) -> Iterator[GalleryCrop]:
    """A feature's crops, strongest first; the negatives are those drawn at random, as hard ones are another's."""
    left = dict(CROPS)
    found = queries.crops_of_feature(session, feature.id)
    placed = row.stream == "image"
    firing = sorted((pair for pair in found if pair[0].role != "negative"), key=lambda pair: -pair[0].activation)
    for crop, _ in [*firing, *(pair for pair in found if pair[0].role == "negative")]:
        if crop.neighbour is not None or not left[crop.role]:
            continue
        left[crop.role] -= 1
        yield GalleryCrop(
            picture=numbers.setdefault(crop.image_id, len(numbers)),
            box=(crop.box_left, crop.box_top, crop.box_right, crop.box_bottom),
            role=crop.role,
            activation=crop.activation,
            step=crop.step,
            where=f"cell {crop.row}, {crop.col}" if placed else f"token {crop.col}",
            activation_map=decode_map(crop.activation_map) if placed and crop.activation_map is not None else None,
        )


def _pictures(session: Session, numbers: dict[int, int]) -> Iterator[GalleryPicture]:
    """The pictures in the order of their numbers, a few in memory at a time."""
    for ids in queries.chunks(numbers, _PICTURES):
        data = queries.pictures(session, ids)
        query = select(Image.id, Image.width, Image.height, Image.prompt).where(Image.id.in_(ids))
        known = {image: ((width, height), prompt) for image, width, height, prompt in session.execute(query)}
        for image in ids:
            yield GalleryPicture(data[image], *known[image])
