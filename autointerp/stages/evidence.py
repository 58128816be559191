"""From rows to what labelers and judges are shown: pictures decoded once, crops in their stored order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import case, select

from autointerp.crops.maps import decode_map
from autointerp.crops.render import decode_picture
from autointerp.db import queries
from autointerp.db.engine import Database
from autointerp.db.models import Crop, Dictionary, Feature, Image
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, LayerContext, ScoreEvidence

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
        self._grids: dict[int, tuple[int, int]] = {}

    def crops(
        self, feature_ids: Sequence[int], split: str | None = None, hard: bool = False
    ) -> dict[int, list[CropEvidence]]:
        """Each feature's crops, top first, then quantiles and negatives, each by rank; of one split or both.

        Hard negatives are left out, as an even sample of the images has few of them; with `hard` there is nothing else.
        """
        found: dict[int, list[CropEvidence]] = {feature_id: [] for feature_id in feature_ids}
        query = (
            select(Crop, Image.prompt, Image.picture)
            .join(Image, Crop.image_id == Image.id)
            .where(Crop.feature_id.in_(feature_ids), Crop.neighbour.is_not(None) if hard else Crop.neighbour.is_(None))
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
        shown = self._pictures.get(crop.image_id, picture)
        return CropEvidence(
            crop_id=crop.id,
            image_id=crop.image_id,
            prompt=prompt,
            picture=shown,
            box=(crop.box_left, crop.box_top, crop.box_right, crop.box_bottom),
            grid=self._grid_of(crop.image_id, shown.size) if heat is None else heat.shape,
            cell=cell,
            activation=crop.activation,
            activation_map=heat,
            role=crop.role,
        )

    def _grid_of(self, image_id: int, size: tuple[int, int]) -> tuple[int, int]:
        """The grid of an image in which a feature is silent; in one of another shape, that of what fires there."""
        rows, cols = self.grid
        if not self.placed or abs(cols * size[1] - rows * size[0]) < 0.05 * rows * size[0]:
            return self.grid
        if image_id not in self._grids:
            query = (
                select(Crop.activation_map)
                .join(Feature)
                .where(Feature.dictionary_id == self.dictionary.id, Crop.image_id == image_id)
                .where(Crop.activation_map.is_not(None))
            )
            with self.db.session() as session:
                heat = session.scalar(query.order_by(Crop.id).limit(1))
            self._grids[image_id] = self.grid if heat is None else decode_map(heat).shape  # type: ignore[assignment]
        return self._grids[image_id]

    def features(self, rows: Sequence[Feature]) -> list[FeatureEvidence]:
        """What a labeler may see: the explain split alone, strongest first."""
        crops = self.crops([row.id for row in rows], "explain")
        shown = []
        for row in rows:
            silent = [c for c in crops[row.id] if c.role == "negative"]
            name = f"{self.dictionary.name}:{row.latent_index}"
            shown.append(FeatureEvidence(name, row.id, row.density, tuple(_strongest(crops[row.id])), tuple(silent)))
        return shown

    def stream(self, rows: Sequence[Feature], at_once: int = 16) -> Iterator[FeatureEvidence]:
        """The same one by one, with few in memory."""
        for start in range(0, len(rows), at_once):
            yield from self.features(rows[start : start + at_once])

    def for_scores(
        self, latents: Mapping[int, int], needs: Collection[str], seed: int, unrelated: Sequence[tuple[str, int]] = ()
    ) -> dict[int, ScoreEvidence]:
        """What trials of some features are made of, by feature id; only the parts that are needed are filled.

        `latents` are the features: id -> latent index.
        """
        ids = list(latents)
        held_out = self.crops(ids, "score") if {"firing", "silent"} & set(needs) else {}
        hard = self.crops(ids, "score", hard=True) if "hard" in needs else {}
        foreign = self._foreign(latents, seed) if "foreign" in needs else {}
        seen = self.crops(ids, "explain") if "seen" in needs else {}
        others = self._others(latents, seed) if "others" in needs else {}
        return {
            feature_id: ScoreEvidence(
                latent,
                firing=tuple(c for c in held_out.get(feature_id, ()) if c.role != "negative"),
                silent=tuple(c for c in held_out.get(feature_id, ()) if c.role == "negative"),
                hard=tuple(hard.get(feature_id, ())),
                foreign=tuple(foreign.get(feature_id, ())),
                seen=tuple(_strongest(seen.get(feature_id, ()))),
                others=tuple(others.get(feature_id, ())),
                unrelated=tuple(unrelated),
            )
            for feature_id, latent in latents.items()
        }

    def _foreign(self, latents: Mapping[int, int], seed: int) -> dict[int, list[CropEvidence]]:
        """One crop of another feature in every held-out image in which a feature is known to be silent.

        In a hard negative it is that of the feature of like direction, where that kept one there.
        """
        mine = (Crop.feature_id.in_(latents), Crop.role == "negative", Crop.split == "score")
        with self.db.session() as session:
            query = select(Crop.feature_id, Crop.image_id, Crop.neighbour).where(*mine)
            silent = session.execute(query.order_by(Crop.feature_id, Crop.rank, Crop.id)).all()
            there: dict[int, dict[int, int]] = {}
            """Image -> latent of a feature that fires in it -> its crop."""
            for images in queries.chunks(sorted({image for _, image, _ in silent})):
                firing = (
                    select(Crop.image_id, Feature.latent_index, Crop.id)
                    .join(Feature)
                    .where(Feature.dictionary_id == self.dictionary.id, Crop.image_id.in_(images))
                    .where(Crop.role != "negative")
                    .order_by(Feature.latent_index)
                )
                for image, latent, crop in session.execute(firing):
                    there.setdefault(image, {})[latent] = crop
        chosen: dict[int, list[int]] = {feature_id: [] for feature_id in latents}
        draw = {feature_id: np.random.default_rng((seed, latent, 1)) for feature_id, latent in latents.items()}
        for feature_id, image, neighbour in silent:
            known = there.get(image)
            if known:
                any_other = list(known.values())[int(draw[feature_id].integers(len(known)))]
                chosen[feature_id].append(any_other if neighbour is None else known.get(neighbour, any_other))
        return self._by_ids(chosen)

    def _others(self, latents: Mapping[int, int], seed: int, count: int = 5) -> dict[int, list[CropEvidence]]:
        """The explain split's strongest crop of some other features, drawn for each feature."""
        with self.db.session() as session:
            mine = (Feature.dictionary_id == self.dictionary.id, Feature.state == "live")
            live = np.array(session.scalars(select(Feature.id).where(*mine).order_by(Feature.latent_index)).all())
            drawn: dict[int, list[int]] = {}
            for feature_id, latent in latents.items():
                order = np.random.default_rng((seed, latent, 2)).permutation(live)
                drawn[feature_id] = [int(other) for other in order if other != feature_id][:count]
            strongest: dict[int, int] = {}
            for some in queries.chunks(sorted({other for others in drawn.values() for other in others})):
                query = select(Crop.feature_id, Crop.id).where(
                    Crop.feature_id.in_(some), Crop.split == "explain", Crop.role != "negative"
                )
                # The last one stays: the strongest, and of equal ones the first.
                strongest.update(session.execute(query.order_by(Crop.activation, Crop.id.desc())).all())  # type: ignore[arg-type]
        return self._by_ids(
            {feature_id: [strongest[o] for o in others if o in strongest] for feature_id, others in drawn.items()}
        )

    def _by_ids(self, wanted: Mapping[int, Sequence[int]]) -> dict[int, list[CropEvidence]]:
        """Crops by their ids, for each key in its order."""
        found: dict[int, CropEvidence] = {}
        with self.db.session() as session:
            for some in queries.chunks(sorted({crop for crops in wanted.values() for crop in crops}), 500):
                rows = select(Crop, Image.prompt, Image.picture).join(Image, Crop.image_id == Image.id)
                for crop, prompt, picture in session.execute(rows.where(Crop.id.in_(some))):
                    found[crop.id] = self._evidence(crop, prompt, picture)
        return {key: [found[crop] for crop in crops] for key, crops in wanted.items()}

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
        found = self._by_ids({0: [int(i) for i in ids]})[0]
        return LayerContext(tuple(found), prompts)


def _strongest(crops: Sequence[CropEvidence]) -> list[CropEvidence]:
    """The crops in which the feature fires, strongest first."""
    return sorted((c for c in crops if c.role != "negative"), key=lambda c: (-c.activation, c.image_id))
