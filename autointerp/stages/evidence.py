"""From rows to what labelers and judges are shown: pictures decoded once, crops in their stored order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import case, select

from autointerp.crops.maps import decode_map
from autointerp.crops.render import decode_picture
from autointerp.db.engine import Database
from autointerp.db.models import Crop, Dictionary, Feature, Image
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, LayerContext

if TYPE_CHECKING:
    from PIL import Image as Pil

_PICTURE_BYTES = 256 * 2**20
_ROLE_ORDER = {"top": 0, "quantile": 1, "negative": 2}


class Pictures:
    """Decoded pictures, the least recently used let go beyond a bound in bytes."""

    def __init__(self, limit: int = _PICTURE_BYTES) -> None:
        self._limit, self._held = limit, 0
        self._pictures: OrderedDict[int, Pil.Image] = OrderedDict()

    def get(self, image_id: int, data: bytes) -> Pil.Image:
        """The picture of an image."""
        if image_id in self._pictures:
            self._pictures.move_to_end(image_id)
            return self._pictures[image_id]
        picture = decode_picture(data)
        self._pictures[image_id] = picture
        self._held += 3 * picture.width * picture.height
        while self._held > self._limit and len(self._pictures) > 1:
            _, old = self._pictures.popitem(last=False)
            self._held -= 3 * old.width * old.height
        return picture


class EvidenceReader:
    """Reads crops of one dictionary's features."""

    def __init__(self, db: Database, dictionary: Dictionary) -> None:
        self.db, self.dictionary = db, dictionary
        self.placed = dictionary.stream == "image"
        # Where a token has no place in the picture, the whole picture is the one cell.
        self.grid = (dictionary.grid_rows, dictionary.grid_cols) if self.placed else (1, 1)
        self._pictures = Pictures()

    def crops(self, feature_ids: Sequence[int], split: str | None = None) -> dict[int, list[CropEvidence]]:
        """Each feature's crops, top first, then quantiles and negatives, each by rank; of one split or both.

        Hard negatives are left out: names and scores rest on an even sample of the images.
        """
        found: dict[int, list[CropEvidence]] = {feature_id: [] for feature_id in feature_ids}
        query = (
            select(Crop, Image.prompt, Image.picture)
            .join(Image, Crop.image_id == Image.id)
            .where(Crop.feature_id.in_(feature_ids), Crop.neighbour.is_(None))
            .order_by(Crop.feature_id, case(_ROLE_ORDER, value=Crop.role), Crop.rank, Crop.id)
        )
        if split is not None:
            query = query.where(Crop.split == split)
        with self.db.session() as session:
            for crop, prompt, picture in session.execute(query):
                found[crop.feature_id].append(self._evidence(crop, prompt, picture))
        return found

    def _evidence(self, crop: Crop, prompt: str, picture: bytes) -> CropEvidence:
        cell = None if crop.row is None or crop.col is None else (crop.row, crop.col) if self.placed else (0, 0)
        heat = None if crop.activation_map is None or not self.placed else decode_map(crop.activation_map)
        return CropEvidence(
            crop_id=crop.id,
            image_id=crop.image_id,
            prompt=prompt,
            picture=self._pictures.get(crop.image_id, picture),
            box=(crop.box_left, crop.box_top, crop.box_right, crop.box_bottom),
            grid=self.grid if heat is None else heat.shape,
            cell=cell,
            activation=crop.activation,
            activation_map=heat,
            role=crop.role,
        )

    def features(self, rows: Sequence[Feature]) -> list[FeatureEvidence]:
        """What a labeler may see: the explain split alone, strongest first."""
        crops = self.crops([row.id for row in rows], "explain")
        shown = []
        for row in rows:
            firing = [c for c in crops[row.id] if c.role != "negative"]
            firing.sort(key=lambda c: (-c.activation, c.image_id))
            silent = [c for c in crops[row.id] if c.role == "negative"]
            name = f"{self.dictionary.name}:{row.latent_index}"
            shown.append(FeatureEvidence(name, row.id, row.density, tuple(firing), tuple(silent)))
        return shown

    def context(self, count: int = 2000, seed: int = 0) -> LayerContext:
        """What is usual in the layer: a sample of its explain crops over all features, and all their prompts."""
        with self.db.session() as session:
            query = (
                select(Crop.id)
                .join(Feature)
                .where(Feature.dictionary_id == self.dictionary.id, Crop.split == "explain", Crop.role != "negative")
            )
            ids = np.array(session.scalars(query.order_by(Crop.id)).all(), np.int64)
            if len(ids) > count:
                ids = np.sort(np.random.default_rng(seed).choice(ids, count, replace=False))
            images = (
                select(Image.prompt)
                .where(
                    Image.id.in_(
                        select(Crop.image_id)
                        .join(Feature)
                        .where(Feature.dictionary_id == self.dictionary.id, Crop.split == "explain")
                    )
                )
                .order_by(Image.image_index)
            )
            prompts = tuple(session.scalars(images))
            found = []
            for start in range(0, len(ids), 500):
                part = [int(i) for i in ids[start : start + 500]]
                rows = select(Crop, Image.prompt, Image.picture).join(Image, Crop.image_id == Image.id)
                for crop, prompt, picture in session.execute(rows.where(Crop.id.in_(part)).order_by(Crop.id)):
                    found.append(self._evidence(crop, prompt, picture))
        return LayerContext(tuple(found), prompts)
