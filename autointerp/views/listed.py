"""Features as lists show them: the label that counts, its score, and the crops on which the feature fires most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autointerp.crops.maps import decode_map
from autointerp.db import queries
from autointerp.db.queries.catalog import CropLine
from autointerp.export.gallery import GalleryCrop, crop_line, visible
from autointerp.project.context import Context
from autointerp.project.labeler_names import labeler_names
from autointerp.views.catalog import STATES, STATUSES, FeatureCatalog


@dataclass(frozen=True)
class ListedFeature:
    """One feature of a list.

    Attributes:
        feature: `DICTIONARY:INDEX`.
        name: Its name; empty where it has none.
        explanation: The label's explanation.
        status: `ok`, `uninterpretable`, `failed` or `unlabeled`.
        score: The one figure that stands for the label; None without one.
        method: The method of that figure.
        doubt: How doubtful the name is, from 0 to 1; None without a name.
        labeler: Name of the labeler.
        state: `live`, `dead` or `dense`.
        density: Share of cells in which it is active.
        max_activation: Its largest activation.
        crops: The crops on which it fires most, strongest first.
    """

    feature: str
    name: str
    explanation: str
    status: str
    score: float | None
    method: str
    doubt: float | None
    labeler: str
    state: str
    density: float
    max_activation: float
    crops: tuple[CropLine, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `features` of the browser view's API; direction marks in its texts are spelled out."""
        return {
            "feature": self.feature,
            "name": visible(self.name),
            "explanation": visible(self.explanation),
            "status": self.status,
            "score": self.score,
            "method": self.method,
            "doubt": self.doubt,
            "labeler": self.labeler,
            "state": self.state,
            "density": self.density,
            "max_activation": self.max_activation,
            "crops": [drawn_crop(crop) for crop in self.crops],
        }

    @property
    def pictures(self) -> dict[int, list[Any]]:
        """The pictures of the crops, see `drawn_pictures`."""
        return drawn_pictures(self.crops)


def drawn_crop(crop: CropLine, packed_map: bytes | None = None, stream: str = "image") -> list[Any]:
    """Return a crop as `drawing.js` takes it, with the crop's id at the end.

    Args:
        crop: The crop.
        packed_map: Its activation map; without one the page asks for it when it is to be seen.
        stream: `image`, or `text` where the cell is a token.
    """
    where = "" if crop.cell is None else f"cell {crop.cell[0]}, {crop.cell[1]}"
    if stream == "text" and crop.cell is not None:
        where, packed_map = f"token {crop.cell[1]}", None
    heat = None if packed_map is None else decode_map(packed_map)
    line = crop_line(GalleryCrop(crop.image_id, crop.box, crop.role, crop.activation, crop.step, where, heat))
    return [*line, crop.id]


def drawn_pictures(crops: Sequence[CropLine]) -> dict[int, list[Any]]:
    """Return the pictures of crops as `drawing.js` takes them: image id -> width, height, prompt."""
    return {crop.image_id: [crop.width, crop.height, visible(crop.prompt)] for crop in crops}


def read_listed(ctx: Context, catalog: FeatureCatalog, places: Sequence[int], crops: int = 6) -> list[ListedFeature]:
    """Read features of a catalog, in the order of their places, each with its strongest crops."""
    ids = [int(catalog.ids[place]) for place in places]
    with ctx.db.session() as session:
        strongest = queries.catalog.strongest_crops(session, ids, crops)
        labels = queries.labels.by_ids(session, [int(catalog.label_ids[p]) for p in places if catalog.label_ids[p]])
        names = labeler_names(queries.labelers.with_labels(session))
        dictionaries = {row.id: row.name for row in queries.dictionaries.list_all(session)}
        session.expunge_all()
    listed = []
    for place, feature_id in zip(places, ids, strict=True):
        label = labels.get(int(catalog.label_ids[place]))
        score, method = catalog.headline(place)
        doubt = float(catalog.doubts[place])
        listed.append(
            ListedFeature(
                feature=f"{dictionaries.get(int(catalog.dictionaries[place]), '')}:{int(catalog.latents[place])}",
                name=catalog.names[place],
                explanation="" if label is None else label.explanation,
                status=STATUSES[int(catalog.statuses[place])],
                score=score,
                method=method,
                doubt=None if np.isnan(doubt) else round(doubt, 3),
                labeler="" if label is None else names.get(label.labeler_id, ""),
                state=STATES[int(catalog.states[place])],
                density=float(catalog.densities[place]),
                max_activation=float(catalog.peaks[place]),
                crops=tuple(strongest.get(feature_id, ())),
            )
        )
    return listed
