"""Exports as a gallery: the features of some dictionaries with their crops, for a browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.crops.maps import decode_map
from autointerp.db import queries
from autointerp.export.gallery import (
    GalleryCrop,
    GalleryDictionary,
    GalleryFeature,
    GalleryPicture,
    write_gallery,
)
from autointerp.transfer.exporting.formats import ExportRequest
from autointerp.views.feature import histogram_levels
from autointerp.views.labeled import LabeledFeature, labeled_features

if TYPE_CHECKING:
    from autointerp.db import Session
    from autointerp.db.models import DictionaryRow, Feature
    from autointerp.progress import Task
    from autointerp.project.context import Context

CROPS = {"top": 12, "quantile": 12, "negative": 6}
"""The most crops of each role that a feature's page shows."""
_PICTURES = 200
"""Pictures in memory at a time."""


def export_gallery(ctx: Context, rows: Sequence[DictionaryRow], request: ExportRequest) -> Path:
    """Write the gallery of some dictionaries; see `ExportWriter`."""
    with ctx.db.session() as session:
        features = [labeled_features(session, row, request.min_score, request.labelers) for row in rows]
        with ctx.progress.task("export", sum(map(len, features)), unit="feature") as bar:
            reader = _GalleryReader(session, bar)
            dictionaries = [reader.dictionary(row, some) for row, some in zip(rows, features, strict=True)]
            models = dict.fromkeys(row.model for row in rows)
            title = f"{', '.join(Path(model).name for model in models)} · {', '.join(row.layer for row in rows)}"
            return write_gallery(request.out, title, dictionaries, reader.pictures())


class _GalleryReader:
    """Reads what a gallery shows, while it is written.

    Each picture is numbered when the first crop refers to it, so that only pictures with a crop are written, once.
    """

    def __init__(self, session: Session, bar: Task) -> None:
        self.session, self.bar = session, bar
        self._numbers: dict[int, int] = {}
        """Image id -> number of its picture."""

    def dictionary(self, row: DictionaryRow, features: Sequence[LabeledFeature]) -> GalleryDictionary:
        """Return a dictionary whose features are read as they are iterated."""
        return GalleryDictionary(
            name=row.name,
            layer=row.layer,
            cells="cells" if row.stream == "image" else "text tokens",
            facts=_facts(row),
            rows=[feature.row for feature in features],
            scores=[(feature.score, feature.method) for feature in features],
            features=self._features(row, features),
        )

    def _features(self, row: DictionaryRow, features: Sequence[LabeledFeature]) -> Iterator[GalleryFeature]:
        for labeled in features:
            feature = labeled.feature
            yield GalleryFeature(
                row=labeled.row,
                crops=list(self._crops(row, feature)),
                histogram=histogram_levels(feature),
                steps=[(int(step), share) for step, share in feature.steps.items()],
                neighbours=[(int(latent), share) for latent, share in feature.neighbours.items()],
            )
            self.bar.advance()

    def _crops(self, row: DictionaryRow, feature: Feature) -> Iterator[GalleryCrop]:
        """Yield a feature's crops, strongest first, then the negatives that were drawn at random.

        Hard negatives are left out: they show where another feature fires.
        """
        left = dict(CROPS)
        crops = [crop for crop, _ in queries.crops.of_feature(self.session, feature.id)]
        is_placed = row.stream == "image"
        firing = sorted((crop for crop in crops if crop.role != "negative"), key=lambda crop: -crop.activation)
        for crop in [*firing, *(crop for crop in crops if crop.role == "negative")]:
            if crop.neighbour is not None or not left[crop.role]:
                continue
            left[crop.role] -= 1
            heat = crop.activation_map if is_placed else None
            yield GalleryCrop(
                picture=self._numbers.setdefault(crop.image_id, len(self._numbers)),
                box=(crop.box_left, crop.box_top, crop.box_right, crop.box_bottom),
                role=crop.role,
                activation=crop.activation,
                step=crop.step,
                where=f"cell {crop.row}, {crop.col}" if is_placed else f"token {crop.col}",
                activation_map=None if heat is None else decode_map(heat),
            )

    def pictures(self) -> Iterator[GalleryPicture]:
        """Yield the numbered pictures in the order of their numbers, a few in memory at a time."""
        for ids in queries.bulk.chunks(self._numbers, _PICTURES):
            data = queries.images.pictures(self.session, ids)
            known = queries.images.sizes_and_prompts(self.session, ids)
            for image_id in ids:
                image = known[image_id]
                yield GalleryPicture(data[image_id], (image.width, image.height), image.prompt)


def _facts(row: DictionaryRow) -> list[tuple[str, str]]:
    """Return what the page says about a dictionary, as pairs of a word and a value."""
    facts = [
        ("model", Path(row.model).name if row.model.startswith("/") else row.model),
        ("layer", row.layer if row.layer == row.hookpoint else f"{row.layer}, {row.hookpoint}"),
        ("signal", row.signal),
        ("steps", ", ".join(map(str, row.steps))),
        ("kind", f"{row.kind}, {row.num_latents} latents" + (f", k {row.k}" if row.k else "")),
    ]
    facts += [("FVU", f"{row.fvu:.3f}")] if row.fvu is not None else []
    return [*facts, ("L0", f"{row.l0:.1f}")] if row.l0 is not None else facts
