"""From rows to the evidence that labelers and judges see: pictures decoded once, crops in their stored order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from autointerp.crops.maps import decode_map
from autointerp.db import queries
from autointerp.labeling.judging.methods import Limits
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, LayerContext, ScoreEvidence
from autointerp.project.cell_samples import CellSampleReader
from autointerp.project.marked_cells import active_cells, random_cells
from autointerp.project.picture_cache import PictureCache

if TYPE_CHECKING:
    from autointerp.db.engine import Database
    from autointerp.db.models import Crop, DictionaryRow, Feature, Split
    from autointerp.db.queries.crops import PicturedCrop


class EvidenceReader:
    """Read the crops of one dictionary's features as evidence.

    Args:
        db: The database.
        dictionary: The dictionary.
        seen: Returns the part of a prompt that the model saw; None takes prompts as whole.
    """

    def __init__(self, db: Database, dictionary: DictionaryRow, seen: Callable[[str], str] | None = None) -> None:
        self.db, self.dictionary, self.seen = db, dictionary, seen or str
        self.placed = dictionary.stream == "image"
        # A text token has no place in the picture, so the whole picture is its only cell.
        self.grid = (dictionary.grid_rows, dictionary.grid_cols) if self.placed else (1, 1)
        self.picture_cache = PictureCache()
        self._grids: dict[int, tuple[int, int]] = {}
        self.cells = CellSampleReader(self)
        """Active cells of the features, and random cells of the layer."""

    def crops(
        self, feature_ids: Sequence[int], split: Split | None = None, hard: bool = False
    ) -> dict[int, list[CropEvidence]]:
        """Return each feature's crops, of one split or both: top first, then quantiles and negatives, each by rank.

        An even sample of the images has few hard negatives, so they are left out; with `hard` they are returned alone.
        """
        found: dict[int, list[CropEvidence]] = {feature_id: [] for feature_id in feature_ids}
        with self.db.session() as session:
            for pictured in queries.crops.with_pictures(session, feature_ids, split, hard):
                found[pictured.crop.feature_id].append(self._evidence(pictured))
        return found

    def _evidence(self, pictured: PicturedCrop) -> CropEvidence:
        """Return a stored crop as evidence."""
        crop: Crop = pictured.crop
        cell = None if crop.row is None or crop.col is None else (crop.row, crop.col) if self.placed else (0, 0)
        heat = None if crop.activation_map is None or not self.placed else decode_map(crop.activation_map)
        shown = self.picture_cache.get(crop.image_id, pictured.picture)
        return CropEvidence(
            crop_id=crop.id,
            image_id=crop.image_id,
            prompt=self.seen(pictured.prompt),
            picture=shown,
            box=(crop.box_left, crop.box_top, crop.box_right, crop.box_bottom),
            grid=self._grid_of(crop.image_id, shown.size) if heat is None else heat.shape,
            cell=cell,
            activation=crop.activation,
            activation_map=heat,
            role=crop.role,
        )

    def _grid_of(self, image_id: int, size: tuple[int, int]) -> tuple[int, int]:
        """Return the grid of an image in which a feature is silent.

        Where the picture has another shape than the dictionary's own grid, take the grid of a feature that fires there.
        """
        rows, cols = self.grid
        if not self.placed or abs(cols * size[1] - rows * size[0]) < 0.05 * rows * size[0]:
            return self.grid
        if image_id not in self._grids:
            with self.db.session() as session:
                heat = queries.crops.any_map(session, self.dictionary.id, image_id)
            self._grids[image_id] = self.grid if heat is None else decode_map(heat).shape  # type: ignore[assignment]
        return self._grids[image_id]

    def features(self, rows: Sequence[Feature], cells: int = 0) -> list[FeatureEvidence]:
        """Return what a labeler may see of features: the explain split alone, strongest first.

        Args:
            rows: The features.
            cells: Pictures of the sample of active cells, at most, for each feature.
        """
        crops = self.crops([row.id for row in rows], "explain")
        drawn = self.cells.active_cells(rows, "explain", cells, 0, most=1) if cells else {}
        shown = []
        for row in rows:
            silent = [c for c in crops[row.id] if c.role == "negative"]
            name = f"{self.dictionary.name}:{row.latent_index}"
            strongest, active = tuple(_strongest(crops[row.id])), tuple(drawn.get(row.id, ()))
            shown.append(FeatureEvidence(name, row.id, row.density, strongest, tuple(silent), active))
        return shown

    def stream(self, rows: Sequence[Feature], cells: int = 0, at_once: int = 16) -> Iterator[FeatureEvidence]:
        """Yield what a labeler may see of each feature, with few features in memory."""
        for start in range(0, len(rows), at_once):
            yield from self.features(rows[start : start + at_once], cells)

    def pictures(self, image_ids: Sequence[int]) -> dict[int, CropEvidence]:
        """Return whole images, each as a crop without a mark."""
        with self.db.session() as session:
            stored = queries.images.pictures(session, image_ids)
            prompts = queries.images.sizes_and_prompts(session, image_ids)
        found = {}
        for image in image_ids:
            shown = self.picture_cache.get(image, stored[image])
            grid, box = self._grid_of(image, shown.size), (0, 0, *shown.size)
            prompt = self.seen(prompts[image].prompt)
            found[image] = CropEvidence(0, image, prompt, shown, box, grid, None, 0.0, None, "negative")
        return found

    def for_scores(
        self,
        latents: Mapping[int, int],
        needs: Collection[str],
        seed: int,
        unrelated: Sequence[tuple[str, int]] = (),
        limits: Limits | None = None,
    ) -> dict[int, ScoreEvidence]:
        """Return the evidence that trials of some features are made of, by feature id.

        Args:
            latents: The latent index of each feature, by the feature's id.
            needs: Which parts of the evidence to fill; the others stay empty.
            seed: The seed of what is drawn.
            unrelated: Prompts and seeds of unrelated images, passed on as they are.
            limits: How many cells to draw, where a score needs them.
        """
        limits = limits or Limits()
        ids = list(latents)
        held_out = self.crops(ids, "score") if {"firing", "silent"} & set(needs) else {}
        hard = self.crops(ids, "score", hard=True) if "hard" in needs else {}
        foreign = self._foreign(latents, seed) if "foreign" in needs else {}
        seen = self.crops(ids, "explain") if "seen" in needs else {}
        others = self._others(latents, seed) if "others" in needs else {}
        active = self._active(latents, limits.questions, seed) if "active" in needs else {}
        cells = tuple(self._random(limits.cells, seed)) if "cells" in needs else ()
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
                active=tuple(active.get(feature_id, ())),
                cells=cells,
            )
            for feature_id, latent in latents.items()
        }

    def _active(self, latents: Mapping[int, int], count: int, seed: int) -> dict[int, list[CropEvidence]]:
        """Return active cells of the score split: of the harvest's sample, else of stored crops."""
        if not self.cells.kept:
            return active_cells(self, latents, count, seed)
        with self.db.session() as session:
            found = queries.features.with_dictionaries(session, latents)
            features = [one.feature for one in found.values()]
            session.expunge_all()
        return self.cells.active_cells(features, "score", count, seed)

    def _random(self, count: int, seed: int) -> list[CropEvidence]:
        """Return random cells of the layer, of the score split: of the harvest's sample, else of stored pictures."""
        if not self.cells.kept:
            return random_cells(self, count, seed)
        return self.cells.random_cells("score", count, seed) if self.placed else []

    def _foreign(self, latents: Mapping[int, int], seed: int) -> dict[int, list[CropEvidence]]:
        """Return a crop of another feature in each held-out image in which a feature is known to be silent.

        In a hard negative it is a crop of the feature of similar direction, where that feature has one there.
        """
        with self.db.session() as session:
            silent = queries.crops.negatives(session, latents, "score")
            firing = queries.crops.firing_in(session, self.dictionary.id, {crop.image_id for crop in silent})
        by_image: dict[int, dict[int, int]] = {}
        """Crop of each latent that fires in an image, by image."""
        for crop in firing:
            by_image.setdefault(crop.image_id, {})[crop.latent_index] = crop.crop_id
        chosen: dict[int, list[int]] = {feature_id: [] for feature_id in latents}
        draw = {feature_id: np.random.default_rng((seed, latent, 1)) for feature_id, latent in latents.items()}
        for feature_id, image, neighbour in silent:
            known = by_image.get(image)
            if known:
                any_other = list(known.values())[int(draw[feature_id].integers(len(known)))]
                chosen[feature_id].append(any_other if neighbour is None else known.get(neighbour, any_other))
        return self._by_ids(chosen)

    def _others(self, latents: Mapping[int, int], seed: int, count: int = 5) -> dict[int, list[CropEvidence]]:
        """Return the strongest crop, in the explain split, of some other features, drawn for each feature."""
        with self.db.session() as session:
            live = np.array(queries.features.ids_in_state(session, self.dictionary.id, "live"))
            drawn: dict[int, list[int]] = {}
            for feature_id, latent in latents.items():
                order = np.random.default_rng((seed, latent, 2)).permutation(live)
                drawn[feature_id] = [int(other) for other in order if other != feature_id][:count]
            others = {other for several in drawn.values() for other in several}
            strongest = queries.crops.strongest(session, others, "explain")
        return self._by_ids(
            {feature_id: [strongest[o] for o in others if o in strongest] for feature_id, others in drawn.items()}
        )

    def _by_ids(self, wanted: Mapping[int, Iterable[int]]) -> dict[int, list[CropEvidence]]:
        """Return crops by their ids, for each key in its order."""
        ids = {crop for crops in wanted.values() for crop in crops}
        with self.db.session() as session:
            found = {one.crop.id: self._evidence(one) for one in queries.crops.pictured_by_id(session, ids)}
        return {key: [found[crop] for crop in crops] for key, crops in wanted.items()}

    def context(self, count: int = 2000, seed: int = 0) -> LayerContext:
        """Return what is usual in the layer: a sample of its explain crops over all features, and all their prompts."""
        with self.db.session() as session:
            ids = np.array(queries.crops.firing_ids(session, self.dictionary.id, "explain"), np.int64)
            prompts = tuple(map(self.seen, queries.images.prompts_in_order(session, self.dictionary.id, "explain")))
        if len(ids) > count:
            ids = np.sort(np.random.default_rng(seed).choice(ids, count, replace=False))
        found = self._by_ids({0: [int(i) for i in ids]})[0]
        return LayerContext(tuple(found), prompts)


def _strongest(crops: Sequence[CropEvidence]) -> list[CropEvidence]:
    """Return the crops in which the feature fires, strongest first."""
    return sorted((c for c in crops if c.role != "negative"), key=lambda c: (-c.activation, c.image_id))
